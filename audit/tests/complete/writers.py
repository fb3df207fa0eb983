"""Which functions of the services write, read from their syntax trees."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
APPS = ("tenants", "registry", "monitoring")
# What Django's managers and rows write with, and what records an occurrence.
WRITING = frozenset(
    {
        "save",
        "create",
        "create_superuser",
        "create_user",
        "get_or_create",
        "update_or_create",
        "update",
        "delete",
        "bulk_create",
        "bulk_update",
        "record",
    }
)

# Module and name, as in registry.services.runs.create_run.
Name = tuple[str, str]


class Services:
    """All functions of all services, and what each of them mentions."""

    def __init__(self) -> None:
        self.functions: dict[Name, ast.FunctionDef] = {}
        self.imports: dict[str, dict[str, Name]] = {}
        for app in APPS:
            for file in sorted((ROOT / app / "services").glob("*.py")):
                self._read(f"{app}.services.{file.stem}", ast.parse(file.read_text()))

    def _read(self, module: str, tree: ast.Module) -> None:
        self.imports[module] = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                self.functions[module, node.name] = node

    def mentioned(self, name: Name) -> Iterator[Name]:
        """Yield functions of services, of sql modules, and methods without a module."""
        module = name[0]
        for node in ast.walk(self.functions[name]):
            if isinstance(node, ast.Name):
                yield self.imports[module].get(node.id, (module, node.id))
            elif isinstance(node, ast.Attribute):
                yield "", node.attr
                if isinstance(node.value, ast.Name):
                    base = self.imports[module].get(node.value.id, ("", ""))
                    yield ".".join(base), node.attr


def writes(mentioned: Name) -> bool:
    module, name = mentioned
    is_sql = "sql" in module.split(".")
    return is_sql or (name in WRITING and (not module or name == "record"))


@cache
def writers() -> frozenset[str]:
    """Return the public functions that write, by themselves or by calling others."""
    services = Services()
    mentions = {name: set(services.mentioned(name)) for name in services.functions}
    found = {name for name, all_ in mentions.items() if any(map(writes, all_))}
    while more := {n for n, all_ in mentions.items() if all_ & found} - found:
        found |= more
    return frozenset(f"{m}.{n}" for m, n in found if not n.startswith("_"))


@contextmanager
def entered() -> Iterator[set[str]]:
    """Collect the functions of services that are entered meanwhile."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and "/services/" in frame.f_code.co_filename:
            found.add(f"{frame.f_globals['__name__']}.{frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)

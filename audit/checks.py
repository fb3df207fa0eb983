"""Triggers and grants of the catalog are those that captured.py states.

Run by `manage.py check --database default` and before each `migrate`. Silent while our
own migrations are not all applied: they may be what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from audit import captured, sql
from audit.operations import append_only

OWNER = "audit_owner"
READERS = {
    ("audit_logs", "SELECT", "app_rw"),
    ("audit_logs", "SELECT", "app_maint"),
    ("audit_seals", "SELECT", "app_rw"),
    ("audit_seals", "SELECT", "app_maint"),
    ("audit_anchors", "SELECT", "app_maint"),
    ("audit_anchors", "INSERT", "app_maint"),
    ("audit_archives", "SELECT", "app_maint"),
}
# Whether it acts as its owner, and who else may call it or make a trigger of it.
FUNCTIONS: dict[str, tuple[bool, list[str]]] = {
    "audit_append": (False, []),
    "audit_hide": (False, []),
    "audit_refuse": (False, ["app_owner"]),
    "audit_capture": (True, ["app_owner"]),
    "audit_capture_batch": (True, ["app_owner"]),
    "audit_record": (True, ["app_maint", "app_rw"]),
    "audit_leaf": (False, ["app_maint", "app_rw"]),
    "audit_seal": (True, ["app_maint"]),
    "audit_archive": (True, ["app_maint"]),
}


@register(Tags.database)
def check_capture(
    app_configs: Sequence[AppConfig] | None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    return [
        Error(problem, hint=hint, id=identity)
        for alias in databases or ()
        if is_migrated(connections[alias])
        for identity, problem, hint in problems(connections[alias])
    ]


def is_migrated(connection: BaseDatabaseWrapper) -> bool:
    loader = MigrationLoader(connection)
    ours = {key for key in loader.disk_migrations if key[0] == "audit"}
    return ours <= set(loader.applied_migrations)


def problems(connection: BaseDatabaseWrapper) -> Iterator[tuple[str, str, str]]:
    """Yield identity, what is wrong and what to do, for whatever is not as stated."""
    trail = sql.trail(connection)
    yield from _triggers(connection, trail)
    yield from _ownership(connection, trail)
    yield from _functions(connection)


def _triggers(
    connection: BaseDatabaseWrapper, trail: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    stated = {
        (table, name): text
        for table, texts in _stated(trail).items()
        for name, text in texts.items()
    }
    found = sql.triggers(connection)
    hint = "Add a migration of audit that makes it so, or restore it by hand."
    for table, name in sorted(stated.keys() | found.keys()):
        text, fires = found.get((table, name), ("", False))
        if (table, name) not in stated:
            yield "audit.E001", f"{table} has a trigger {name} nobody states.", hint
        elif not text:
            yield "audit.E002", f"{table} has no trigger {name}.", hint
        elif text != stated[table, name]:
            yield "audit.E003", f"{table}: trigger {name} is “{text}”.", hint
        elif not fires:
            yield "audit.E004", f"{table}: trigger {name} is disabled.", hint


def _stated(trail: dict[str, str]) -> dict[str, dict[str, str]]:
    return captured.definitions() | {table: append_only(table) for table in trail}


def _ownership(
    connection: BaseDatabaseWrapper, trail: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    for table, owner in trail.items():
        if owner != OWNER:
            hint = f"Only {OWNER} may own it: give it back."
            yield "audit.E005", f"{table} belongs to {owner}.", hint
    for grant in sql.grants(connection, list(trail)):
        if grant not in READERS:
            table, privilege, role = grant
            hint = "Revoke it: the roles of the application may only read the parent."
            yield "audit.E006", f"{role} has {privilege} on {table}.", hint


def _functions(connection: BaseDatabaseWrapper) -> Iterator[tuple[str, str, str]]:
    found = sql.functions(connection, list(FUNCTIONS))
    hint = "Only the migrations of audit change its functions; see what else did."
    for name, (acts_as_owner, callers) in FUNCTIONS.items():
        if found.get(name) != (OWNER, acts_as_owner, callers):
            yield "audit.E007", f"{name} has other owners or callers.", hint

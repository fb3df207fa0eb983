"""Taking either lock off: what is left must hold alone.

The application's lock is its filters: the scoped managers', the query sets' and the
predicates in named SQL. The database's lock is row-level security.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

from django.db import connection

from audit import querysets as audit
from monitoring import querysets as monitoring
from registry import querysets as registry
from registry.sql import packages
from tenants import querysets as tenants
from tenants.api import base

# The conditions by which named SQL keeps to its caller, in functions and constants.
CALLERS_OWN = re.compile(
    r"(?:\w+\.)?(?:organization_id|project_id)\s+(?:=|IS NOT DISTINCT FROM)\s+"
    r"(p_organization|p_project|%\((?:organization|project)\)s)"
)
FUNCTIONS = """
SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid)
FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
  AND NOT p.prosecdef AND p.proname ~ '^(registry|monitoring)_'
"""
PROTECTED = """
SELECT relname FROM pg_class
WHERE relrowsecurity AND relkind IN ('r', 'p')
  AND relnamespace = 'public'::regnamespace
"""
NARROWING = ("visible_to", "in_project", "in_projects_of")


@contextmanager
def without_filters() -> Iterator[int]:
    """Take every filter of the application off; yields how many there were."""
    removed = rewrite_functions()
    with ExitStack() as stack:
        stack.enter_context(
            patch.object(
                tenants.BelongsToTenant, "as_sql", lambda *_, **__: ("TRUE", [])
            )
        )
        stack.enter_context(
            patch.object(base.ProjectViewSet, "within_reach", lambda _, rows: rows)
        )
        for kind in query_sets():
            for name in NARROWING:
                if name in vars(kind):
                    stack.enter_context(patch.object(kind, name, everything))
                    removed += 1
        for name, text in constants(packages):
            opened, count = opened_text(text)
            stack.enter_context(patch.object(packages, name, opened))
            removed += count
        yield removed


def everything(rows: Any, *_: Any) -> Any:
    return rows


def query_sets() -> Iterator[type]:
    for module in (tenants, registry, monitoring, audit):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, tenants.TenantQuerySet):
                yield kind


def constants(module: ModuleType) -> list[tuple[str, str]]:
    """The module's named SQL that reads by the caller's organization."""
    named = [(name, text) for name, text in vars(module).items() if name.isupper()]
    return [(n, t) for n, t in named if isinstance(t, str) and CALLERS_OWN.search(t)]


def opened_text(text: str) -> tuple[str, int]:
    return CALLERS_OWN.subn(true_of, text)


def true_of(found: re.Match[str]) -> str:
    """Always true; a parameter keeps its place, or its type could not be told."""
    parameter = found[1]
    return (
        "true"
        if parameter.startswith("p_")
        else f"({parameter}::uuid = {parameter}::uuid)"
    )


def rewrite_functions() -> int:
    """Make the hot functions find rows whoever calls; a rollback takes it back."""
    removed = 0
    with connection.cursor() as cursor:
        cursor.execute(FUNCTIONS)
        for _name, definition in cursor.fetchall():
            opened, count = opened_text(definition)
            if count:
                cursor.execute(opened)
            removed += count
    return removed


def disable_row_level_security() -> list[str]:
    """Let the web role see all rows; a rollback takes it back."""
    with connection.cursor() as cursor:
        # What Django deferred must stand before a table is changed.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(PROTECTED)
        tables = [table for (table,) in cursor.fetchall()]
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    return tables

"""What the catalog says of capture; beside it stand sealing and verification."""

from __future__ import annotations

import json
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

# Clones of the parent's row triggers count, too: a month's can be disabled alone.
TRIGGERS = """
SELECT c.relname, t.tgname, replace(pg_get_triggerdef(t.oid), ' public.', ' '),
       t.tgenabled IN ('O', 'A')
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE p.proname IN ('audit_capture', 'audit_capture_batch', 'audit_refuse')
  AND c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
"""

TRAIL = """
SELECT c.relname, pg_get_userbyid(c.relowner)
FROM pg_class c
WHERE c.relname IN ('audit_logs', 'audit_seals', 'audit_anchors', 'audit_archives')
      AND c.relnamespace = 'public'::regnamespace
   OR c.oid IN (SELECT inhrelid FROM pg_inherits
                WHERE inhparent = 'public.audit_logs'::regclass)
ORDER BY c.relname
"""

# Grants to others than the owner, of whole tables and of single columns.
GRANTS = """
SELECT DISTINCT c.relname, g.privilege_type,
       CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END
FROM pg_class c
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL,
     LATERAL (SELECT * FROM aclexplode(c.relacl)
              UNION ALL SELECT * FROM aclexplode(a.attacl)) AS g
WHERE c.relname = ANY (%s) AND c.relnamespace = 'public'::regnamespace
  AND g.grantee <> c.relowner
ORDER BY 1, 2, 3
"""

FUNCTIONS = """
SELECT p.proname, pg_get_userbyid(p.proowner), p.prosecdef,
       ARRAY(SELECT CASE grantee WHEN 0 THEN 'PUBLIC'
                                 ELSE pg_get_userbyid(grantee)::text END
             FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
             WHERE grantee <> p.proowner ORDER BY 1)
FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND p.proname = ANY (%s)
"""


def _rows(
    connection: BaseDatabaseWrapper, query: str, *parameters: list[str]
) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def triggers(
    connection: BaseDatabaseWrapper,
) -> dict[tuple[str, str], tuple[str, bool]]:
    """Map (table, name) of our triggers to their text and whether they fire."""
    rows = _rows(connection, TRIGGERS)
    return {(table, name): (text, fires) for table, name, text, fires in rows}


def trail(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Map the trail's tables and its months to their owners."""
    return dict(_rows(connection, TRAIL))


def grants(
    connection: BaseDatabaseWrapper, tables: list[str]
) -> list[tuple[str, str, str]]:
    """List (table, privilege, role) of everybody but the owner."""
    return _rows(connection, GRANTS, tables)


def functions(
    connection: BaseDatabaseWrapper, names: list[str]
) -> dict[str, tuple[str, bool, list[str]]]:
    """Map each function to its owner, whether it acts as its owner, and its callers."""
    return {row[0]: row[1:] for row in _rows(connection, FUNCTIONS, names)}


# As the triggers see a row, whatever the session's settings make of texts: each column
# with its value, and the digest and size of its text.
PIN = """
SELECT set_config('timezone', 'UTC', true), set_config('extra_float_digits', '1', true),
       set_config('bytea_output', 'hex', true)
"""
PRESENT_ROWS = """
SELECT stored.id::text,
       (SELECT jsonb_object_agg(key, jsonb_build_array(
                   value, encode(sha256(convert_to(value #>> '{{}}', 'UTF8')), 'hex'),
                   octet_length(value #>> '{{}}')))
        FROM jsonb_each(to_jsonb(stored) - %s::text[]))::text
FROM public.{table} AS stored
WHERE %s::text[] IS NULL OR stored.id = ANY (%s::text[]::{key}[])
"""


def present_rows(
    connection: BaseDatabaseWrapper,
    table: str,
    *,
    ids: list[str] | None = None,
    key: str = "uuid",
    uncaptured: list[str],
) -> dict[str, dict[str, list[Any]]]:
    """Map ids, of all rows unless some are named, to columns: value, digest and size.

    Run it inside a transaction, by a role that row-level security does not bind.
    """
    words = {"table": sql.Identifier(table), "key": sql.Identifier(key)}
    with connection.cursor() as cursor:
        cursor.execute(PIN)
        query = sql.SQL(PRESENT_ROWS).format(**words)
        cursor.execute(query, [uncaptured, ids, ids])
        return {name: json.loads(cells) for name, cells in cursor.fetchall()}

"""What the catalog says of capture; the sealer's statements will stand beside it."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

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
WHERE c.oid = 'public.audit_logs'::regclass
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
    """Map the trail's table and its months to their owners."""
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

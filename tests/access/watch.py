"""Nothing may write a row of umbrella, not even in a request that is rolled back."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from tenants import models as tenants

# A sequence is outside of transactions: it still counts what was taken back.
WATCH = """
CREATE SEQUENCE foreign_writes MINVALUE 0;
GRANT USAGE ON SEQUENCE foreign_writes TO app_rw, app_maint, audit_owner;
CREATE FUNCTION count_foreign_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_ARGV[0] = to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[1] THEN
        PERFORM nextval('public.foreign_writes');
    END IF;
    RETURN NULL;
END $$;
"""
ON_TABLE = """
CREATE TRIGGER zz_foreign_writes AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION count_foreign_write('{organization}', '{column}')
"""
TABLES = """
SELECT c.relname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relnamespace = 'public'::regnamespace
ORDER BY c.relname
"""
DIGEST = """
SELECT md5(coalesce(string_agg(r::text, '|' ORDER BY r::text), ''))
FROM {table} r WHERE organization_id = %s
"""


def tenant_tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        return [table for (table,) in cursor.fetchall()]


def watch(organization: tenants.Organization) -> None:
    """Count from now on what changes the organization or a row of it."""
    places = [(table, "organization_id") for table in tenant_tables()]
    with connection.cursor() as cursor:
        # What Django deferred must stand before a table is changed.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(WATCH)
        for table, column in (*places, ("organizations", "id")):
            cursor.execute(
                ON_TABLE.format(
                    table=table, organization=organization.pk, column=column
                )
            )


def writes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value, is_called FROM foreign_writes")
        last, is_called = cursor.fetchone()
    return last + 1 if is_called else 0


def digest(organization: UUID) -> dict[str, str]:
    """Digest all rows of the organization, table by table."""
    found = {}
    with connection.cursor() as cursor:
        for table in tenant_tables():
            cursor.execute(DIGEST.format(table=table), [organization])
            (found[table],) = cursor.fetchone()
    return found

"""Deleting for good, some rows at a time: raw, as Django would first read them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connections, models
from psycopg import sql
from psycopg.sql import SQL, Identifier

# By the index that each child has for its parent.
BELOW = SQL("""
SELECT id FROM {table}
WHERE {owner} = %(organization)s AND {column} = ANY (%(keys)s::uuid[])
LIMIT %(limit)s
""")

# The digest tells later whether some bytes are what stood here.
PURGE = SQL("""
WITH gone AS (
    DELETE FROM {table}
    WHERE {owner} = %(organization)s AND id = ANY (%(keys)s::uuid[])
    RETURNING *
)
SELECT count(*), encode(sha256(convert_to(coalesce(string_agg(
           to_jsonb(gone)::text, E'\\n' ORDER BY gone.id), ''), 'UTF8')), 'hex')
FROM gone
""")

# Rows deleted elsewhere, by SQL for example, have no date yet.
PLAN = SQL("""
UPDATE {table} AS row SET purge_after = row.deleted_at + make_interval(
    days => organization.retention_days)
FROM organizations AS organization
WHERE row.deleted_at IS NOT NULL AND row.purge_after IS NULL
  AND organization.id = row.{owner} AND organization.id = %(organization)s
""")

# Models that lie below a run keep its id as text; see LoggedModel.source_run_text.
FORGET_RUNS = """
UPDATE logged_models
SET source_run_text = replace(source_run_id::text, '-', ''), source_run_id = NULL
WHERE organization_id = %s AND source_run_id = ANY (%s::uuid[])
"""

# The planner knows how much of a table is deleted without reading it.
DELETED_SHARES = """
SELECT statistics.tablename, 1 - statistics.null_frac
FROM pg_stats AS statistics
JOIN pg_class AS class
  ON class.relname = statistics.tablename AND class.relkind IN ('r', 'p')
WHERE statistics.schemaname = 'public' AND statistics.attname = 'deleted_at'
  AND statistics.tablename = ANY (%s) AND class.reltuples >= %s
"""


@dataclass(frozen=True, slots=True)
class Purged:
    rows: int
    sha256: str


def below(
    using: str,
    field: models.ForeignKey,
    organization: UUID,
    keys: Sequence[UUID],
    limit: int,
) -> list[UUID]:
    """Return up to `limit` ids of rows whose `field` is one of the keys."""
    statement = BELOW.format(
        table=Identifier(field.model._meta.db_table),
        owner=_owner(field.model),
        column=Identifier(field.column),
    )
    with connections[using].cursor() as cursor:
        cursor.execute(
            statement,
            {"organization": organization, "keys": list(keys), "limit": limit},
        )
        return [row[0] for row in cursor.fetchall()]


def purge(
    using: str, model: type[models.Model], organization: UUID, keys: Sequence[UUID]
) -> Purged:
    statement = PURGE.format(
        table=Identifier(model._meta.db_table), owner=_owner(model)
    )
    with connections[using].cursor() as cursor:
        cursor.execute(statement, {"organization": organization, "keys": list(keys)})
        return Purged(*cursor.fetchone())


def plan(using: str, model: type[models.Model], organization: UUID) -> int:
    statement = PLAN.format(table=Identifier(model._meta.db_table), owner=_owner(model))
    with connections[using].cursor() as cursor:
        cursor.execute(statement, {"organization": organization})
        return int(cursor.rowcount)


def forget_runs(using: str, organization: UUID, keys: Sequence[UUID]) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(FORGET_RUNS, [organization, list(keys)])


def deleted_shares(
    using: str, tables: Sequence[str], *, smallest: int
) -> list[tuple[str, float]]:
    with connections[using].cursor() as cursor:
        cursor.execute(DELETED_SHARES, [list(tables), smallest])
        return [(table, float(share)) for table, share in cursor.fetchall()]


def _owner(model: type[models.Model]) -> sql.Identifier:
    names = {field.column for field in model._meta.concrete_fields}
    return Identifier("organization_id" if "organization_id" in names else "id")

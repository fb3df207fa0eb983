"""What can be wrong with the partitions of a table, read from the catalog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from mlops.db.partitions import Partition, Policy, is_ours, partitions_of
from mlops.db.uuid7 import floor, uuid7_time

WARNING, CRITICAL = "warning", "critical"

WARN_DAYS_AHEAD = 90
CRITICAL_DAYS_AHEAD = 31


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what to do about it."""

    kind: str
    severity: str
    partition: str
    detail: str
    advice: str
    threshold: int | None = None


def verify(
    connection: BaseDatabaseWrapper, policy: Policy, now: datetime
) -> list[Problem]:
    """List all that is wrong with the partitions of one table; nothing is changed."""
    key = partition_key(connection, policy.table)
    if key != "RANGE (id)":
        return [_not_partitioned(policy, key)]
    found = partitions_of(connection, policy)
    return [
        *_coverage(found, policy, now),
        *_shape(found, policy),
        *_names(found, policy),
        *_indexes(connection, policy),
        *_grants(connection, policy),
    ]


def covered_until(found: Sequence[Partition], now: datetime) -> datetime | None:
    """Return the end of the unbroken row of partitions that begins with today's."""
    end = None
    for lower, upper, _ in _in_order(found):
        if end is None and lower <= floor(now) < upper:
            end = upper
        elif end is not None and lower == end:
            end = upper
    return uuid7_time(end) if end else None


def days_ahead(found: Sequence[Partition], now: datetime) -> int:
    end = covered_until(found, now)
    return (end - now).days if end else 0


PARTITION_KEY = """
SELECT coalesce(pg_get_partkeydef(oid), '') FROM pg_class
WHERE oid = to_regclass(%(table)s)
"""


def partition_key(connection: BaseDatabaseWrapper, table: str) -> str | None:
    """Say how a table is partitioned; empty if it is not, None if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(PARTITION_KEY, {"table": table})
        row = cursor.fetchone()
    return row[0] if row else None


def _not_partitioned(policy: Policy, key: str | None) -> Problem:
    kind, detail = "missing_table", "the table does not exist"
    advice = "Run manage.py migrate."
    if key is not None:
        kind = "not_partitioned"
        detail = f"the table is partitioned by {key or 'nothing'}, not by RANGE (id)"
        advice = "Let its migration make it PARTITION BY RANGE (id)."
    return Problem(kind, CRITICAL, policy.table, detail, advice)


def _in_order(found: Sequence[Partition]) -> list[tuple[UUID, UUID, str]]:
    spans = [(part.bounds, part.name) for part in found if part.attached]
    return sorted((*bounds, name) for bounds, name in spans if bounds)


def _coverage(
    found: Sequence[Partition], policy: Policy, now: datetime
) -> Iterator[Problem]:
    advice = f"Run manage.py partitions apply --table {policy.table}."
    for (_, end, _), (start, _, name) in pairwise(_in_order(found)):
        if end != start:
            detail = f"no partition from {uuid7_time(end)} to {uuid7_time(start)}"
            yield Problem("gap", CRITICAL, name, detail, advice)
    days = days_ahead(found, now)
    if days < WARN_DAYS_AHEAD:
        is_near = days < CRITICAL_DAYS_AHEAD
        yield Problem(
            "days_ahead",
            CRITICAL if is_near else WARNING,
            policy.table,
            f"rows have a partition for {days} days more",
            advice,
            CRITICAL_DAYS_AHEAD if is_near else WARN_DAYS_AHEAD,
        )


def _shape(found: Sequence[Partition], policy: Policy) -> Iterator[Problem]:
    for part in found:
        if not part.attached:
            continue
        if part.bound == "DEFAULT":
            yield Problem(
                "default",
                CRITICAL,
                part.name,
                "a DEFAULT partition blocks new months and concurrent detaching",
                "Move its rows into partitions of their months, then drop it.",
            )
        elif not _is_a_month(part, policy):
            yield Problem(
                "overlap",
                CRITICAL,
                part.name,
                f"its bounds are not those of a month of its name: {part.bound}",
                "Detach it and move its rows into partitions of their months.",
            )
        if part.pending:
            yield Problem(
                "pending_detach",
                WARNING,
                part.name,
                "its detaching was begun and not finished",
                "Run manage.py partitions apply --only detach --yes.",
            )


def _is_a_month(part: Partition, policy: Policy) -> bool:
    if part.bounds is None:
        return False
    start = uuid7_time(part.bounds[0])
    return part.name == policy.name_of(start) and part.bounds == policy.bounds_of(start)


def _names(found: Sequence[Partition], policy: Policy) -> Iterator[Problem]:
    for part in found:
        if not part.attached and not is_ours(part, policy):
            yield Problem(
                "name_taken",
                CRITICAL,
                part.name,
                "a table that is no partition has the name of a month",
                "Rename it; its month cannot be made before.",
            )
        if part.attached and part.owner != policy.owner:
            yield Problem(
                "owner",
                WARNING,
                part.name,
                f"it belongs to {part.owner}, not to {policy.owner}",
                f"ALTER TABLE {part.name} OWNER TO {policy.owner};",
            )


MISSING_INDEXES = """
SELECT c.relname, parent_index.indexrelid::regclass::text
FROM pg_index parent_index
JOIN pg_inherits part ON part.inhparent = parent_index.indrelid
JOIN pg_class c ON c.oid = part.inhrelid
WHERE parent_index.indrelid = to_regclass(%(table)s)
  AND NOT EXISTS (
      SELECT 1 FROM pg_inherits attached
      JOIN pg_index i ON i.indexrelid = attached.inhrelid
      WHERE attached.inhparent = parent_index.indexrelid
        AND i.indrelid = part.inhrelid AND i.indisvalid)
ORDER BY 1, 2
"""


def _indexes(connection: BaseDatabaseWrapper, policy: Policy) -> Iterator[Problem]:
    with connection.cursor() as cursor:
        cursor.execute(MISSING_INDEXES, {"table": policy.table})
        rows = cursor.fetchall()
    for partition, index in rows:
        yield Problem(
            "missing_index",
            WARNING,
            partition,
            f"it has no attached, valid copy of {index}",
            "CREATE INDEX CONCURRENTLY on it, then ALTER INDEX … ATTACH PARTITION.",
        )


# A policy of the parent does not guard its partitions, so a detached one counts too.
GRANTS = """
SELECT c.relname, coalesce(role.rolname, 'PUBLIC'),
       string_agg(DISTINCT g.privilege_type, ', ' ORDER BY g.privilege_type)
FROM pg_class parent
JOIN pg_class c ON c.relnamespace = parent.relnamespace AND c.relkind IN ('r', 'p')
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = parent.oid
CROSS JOIN LATERAL (
    SELECT * FROM aclexplode(c.relacl)
    UNION ALL
    SELECT e.* FROM pg_attribute a, aclexplode(a.attacl) e WHERE a.attrelid = c.oid
) g
LEFT JOIN pg_roles role ON role.oid = g.grantee
WHERE parent.oid = to_regclass(%(table)s) AND g.grantee <> c.relowner
  AND (i.inhrelid IS NOT NULL
       OR obj_description(c.oid, 'pg_class') LIKE %(mark)s || '%%')
GROUP BY 1, 2 ORDER BY 1, 2
"""


def _grants(connection: BaseDatabaseWrapper, policy: Policy) -> Iterator[Problem]:
    with connection.cursor() as cursor:
        cursor.execute(GRANTS, {"table": policy.table, "mark": policy.mark})
        rows = cursor.fetchall()
    for partition, role, privileges in rows:
        yield Problem(
            "grant",
            CRITICAL,
            partition,
            f"{role} holds {privileges} on it, past the policies of its parent",
            f"REVOKE ALL ON {partition} FROM {role};",
        )

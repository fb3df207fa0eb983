"""Statements about the months of the trail that lie elsewhere, or may go there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

COLUMNS = """
month, first_id, end_id, entries, size_bytes, sha256, manifest_sha256, location,
archived_at, signature, key_id
"""
RECORDS = f"SELECT {COLUMNS} FROM audit_archives ORDER BY month, id"
ADD = """
SELECT audit_archive(%(month)s, %(first_id)s, %(end_id)s, %(entries)s, %(size_bytes)s,
                     %(sha256)s, %(manifest_sha256)s, %(location)s, %(archived_at)s,
                     %(signature)s, %(key_id)s)
"""

# An entry of an earlier epoch was sealed when that ended, whatever its transaction.
UNSEALED = """
WITH newest AS (SELECT epoch_from, xid_to FROM audit_seals ORDER BY id DESC LIMIT 1)
SELECT EXISTS (
    SELECT FROM audit_logs
    WHERE id >= %(first_id)s AND id < %(end_id)s
      AND (NOT EXISTS (SELECT FROM newest)
           OR id >= (SELECT epoch_from FROM newest)
              AND transaction_id >= (SELECT xid_to FROM newest)))
"""

# Of a month that was detached nobody can tell here whose entries it holds.
HOLDERS = """
SELECT o.slug FROM organizations o
WHERE o.legal_hold
  AND (o.created_at < %(end)s AND NOT coalesce(
           (SELECT c.relispartition FROM pg_class c
            WHERE c.oid = to_regclass(%(partition)s)), false)
       OR EXISTS (SELECT FROM audit_logs a
                  WHERE a.organization_id = o.id
                    AND a.id >= %(first_id)s AND a.id < %(end_id)s))
ORDER BY o.slug
"""

SEALS = """
SELECT id, organization_id, n, version, cluster, epoch, epoch_from, xid_from, xid_to,
       xid_next, first_id, last_id, count, unattributed, root, leaves, prev_hash, hash,
       sealed_at, signature, key_id
FROM audit_seals
WHERE first_id < %(end_id)s AND last_id >= %(first_id)s AND id > %(after)s
ORDER BY id LIMIT %(page)s
"""

# The owner of the trail speaks for the operator's command, which acts as nobody else.
DROPPING = (
    "SELECT set_config('app.actor', 'command:partitions', true)",
    """SELECT audit_record('audit.month_dropped', 'ok', '', NULL, jsonb_build_object(
           'partition', '{partition}',
           'archive', (SELECT location || ' ' || sha256 FROM audit_archives
                       WHERE to_char(month, '"audit_logs_"YYYY_MM') = '{partition}'
                       ORDER BY id DESC LIMIT 1)))""",
)


class Record(NamedTuple):
    """A row of audit_archives; bytes come as memoryview."""

    month: date
    first_id: UUID
    end_id: UUID
    entries: int
    size_bytes: int
    sha256: str
    manifest_sha256: str
    location: str
    archived_at: datetime
    signature: bytes
    key_id: str


def records(connection: BaseDatabaseWrapper) -> list[Record]:
    rows = _rows(connection, RECORDS)
    return [Record._make((*row[:9], bytes(row[9]), row[10])) for row in rows]


def add(connection: BaseDatabaseWrapper, record: Record) -> None:
    _rows(connection, ADD, **record._asdict())


def has_unsealed(connection: BaseDatabaseWrapper, first_id: UUID, end_id: UUID) -> bool:
    rows = _rows(connection, UNSEALED, first_id=first_id, end_id=end_id)
    return bool(rows[0][0])


def holders(connection: BaseDatabaseWrapper, **month: Any) -> list[str]:
    """Name the organizations whose legal hold keeps the month."""
    return [slug for (slug,) in _rows(connection, HOLDERS, **month)]


def _rows(connection: BaseDatabaseWrapper, query: str, **parameters: Any) -> list:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def seals_of(
    connection: BaseDatabaseWrapper, first_id: UUID, end_id: UUID, *, page: int = 20
) -> Iterator[dict[str, Any]]:
    """Yield the seals over entries of a month, a page a statement."""
    after = UUID(int=0)
    bounds: dict[str, Any] = {"first_id": first_id, "end_id": end_id, "page": page}
    while True:
        with connection.cursor() as cursor:
            cursor.execute(SEALS, {**bounds, "after": after})
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        yield from rows
        if len(rows) < page:
            return
        after = rows[-1]["id"]

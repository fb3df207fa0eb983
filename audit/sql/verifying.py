"""Statements of verification: one look at seals and entries, in streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.adapt import Loader
from psycopg.sql import SQL, Composed, Identifier

from audit.canonical import FIELDS
from audit.seals import SealValues

SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
SETTINGS = """
SELECT set_config('statement_timeout', '0', true), set_config('timezone', 'UTC', true),
       set_config('datestyle', 'ISO', true),
       set_config('idle_in_transaction_session_timeout', '0', true)
"""

CHAINS = """
SELECT organization_id FROM audit_seals
UNION SELECT organization_id FROM audit_logs
ORDER BY 1
"""
EPOCHS = """
SELECT (SELECT epoch_from FROM audit_seals WHERE epoch = number ORDER BY xid_to LIMIT 1)
FROM generate_series(1, (SELECT max(epoch) FROM audit_seals)) AS number
ORDER BY number
"""

# In the order of the chain; leaves are digested over there.
LINKS = """
SELECT organization_id, n, version, cluster, epoch, epoch_from, xid_from, xid_to,
       xid_next, first_id, last_id, count, unattributed, root, sha256(leaves),
       prev_hash, sealed_at, hash, signature, key_id
FROM audit_seals
WHERE {chain} AND n >= %(first)s AND n <= %(last)s ORDER BY n
"""
SPAN = """
SELECT coalesce(min(n), 1), coalesce(max(n), 0) FROM audit_seals
WHERE {chain} AND first_id < %(until)s AND last_id >= %(since)s
"""

# In the order of entries, each with the last look, that of whatever round, which some
# transaction of the seal may have begun after.
LISTS = """
SELECT seal.n, seal.first_id, seal.last_id, seal.root, seal.leaves, seal.epoch,
       before.sealed_at
FROM audit_seals AS seal
LEFT JOIN LATERAL (
    SELECT look.sealed_at FROM audit_seals AS look
    WHERE look.epoch = seal.epoch AND look.xid_next < seal.xid_to
    ORDER BY look.xid_next DESC LIMIT 1) AS before ON true
WHERE seal.{chain} AND seal.first_id < %(until)s AND seal.last_id >= %(since)s
ORDER BY seal.first_id
"""

# The last look that had not seen this transaction begin.
LOOK = """
SELECT sealed_at FROM audit_seals
WHERE epoch = %s AND xid_next <= %s ORDER BY xid_next DESC LIMIT 1
"""
REACH = "SELECT max(xid_to) FROM audit_seals WHERE {chain} AND epoch = %(epoch)s"
HEAD = "SELECT hash FROM audit_seals WHERE {chain} AND n = %(n)s"

COLUMNS = {
    False: SQL(", ").join(map(Identifier, FIELDS)),
    True: SQL("id, audit_leaf(entry), transaction_id, created_at"),
}
ENTRIES = SQL("""
SELECT {columns} FROM audit_logs AS entry
WHERE {chain} AND id >= %(since)s AND id < %(until)s ORDER BY id
""")
SAMPLE = """
SELECT DISTINCT object_type, object_id, organization_id FROM (
    SELECT object_type, object_id, organization_id FROM audit_logs
    WHERE object_type = ANY (%s) AND object_id IS NOT NULL
    ORDER BY random() LIMIT %s) AS picked
"""

ONE = "organization_id = %(organization)s"
ALL = "organization_id IS NULL"
LAST_ID = UUID(int=2**128 - 1)


class Text(Loader):
    """Hands a column over as PostgreSQL wrote it."""

    def load(self, data: Any) -> bytes:
        return bytes(data)


TYPES = ("uuid", "timestamptz", "int8", "int4", "varchar", "text", "jsonb")


class Link(NamedTuple):
    """A seal as part of its chain."""

    values: SealValues
    hash: bytes
    signature: bytes
    key_id: str


class Listing(NamedTuple):
    """A seal as the list of its entries."""

    n: int
    first_id: UUID
    last_id: UUID
    root: bytes
    leaves: bytes
    epoch: int
    # Of the last look before some of its transactions: they can say no earlier moment.
    looked_at: datetime | None


class Period(NamedTuple):
    """Which entries are looked at: all, or those of a time."""

    since: UUID = UUID(int=0)
    until: UUID = LAST_ID


@contextmanager
def snapshot(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """See one state of seals and entries, however long it takes."""
    is_ours = not connection.in_atomic_block
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if is_ours:
            cursor.execute(SNAPSHOT)
        cursor.execute(SETTINGS)
        yield


def chains(connection: BaseDatabaseWrapper) -> list[UUID | None]:
    """List all that have seals or entries; the instance's own, None, is the last."""
    return [row[0] for row in _all(connection, CHAINS, None)]


def epochs(connection: BaseDatabaseWrapper) -> list[UUID]:
    """List where each begins."""
    return [row[0] for row in _all(connection, EPOCHS, None)]


def span(
    connection: BaseDatabaseWrapper, organization: UUID | None, period: Period
) -> tuple[int, int]:
    """Return the first and the last seal with entries of that range."""
    parameters = {"organization": organization, **period._asdict()}
    ((first, last),) = _all(connection, SPAN, parameters, organization)
    return first, last


def links(
    connection: BaseDatabaseWrapper, organization: UUID | None, first: int, last: int
) -> Iterator[Link]:
    parameters = {"organization": organization, "first": first, "last": last}
    for row in _stream(connection, LINKS, parameters, organization, "links"):
        *values, digest, signature, key_id = row
        yield Link(SealValues(*values), digest, signature, key_id)


def lists(
    connection: BaseDatabaseWrapper, organization: UUID | None, period: Period
) -> Iterator[Listing]:
    parameters = {"organization": organization, **period._asdict()}
    for row in _stream(connection, LISTS, parameters, organization, "lists", 20):
        yield Listing(*row)


def entries(
    connection: BaseDatabaseWrapper,
    organization: UUID | None,
    period: Period,
    *,
    fast: bool,
) -> Iterator[tuple[Any, ...]]:
    """Stream a chain's entries by id, as texts: all FIELDS, or if it is to be fast
    id, leaf, transaction and moment, the leaf as the database computes it.
    """
    query = ENTRIES.format(columns=COLUMNS[fast], chain=SQL(_chain(organization)))
    parameters = {"organization": organization, **period._asdict()}
    yield from _stream(connection, query, parameters, organization, "entries", 2000)


def look_before(
    connection: BaseDatabaseWrapper, epoch: int, xid: int
) -> datetime | None:
    rows = _all(connection, LOOK, [epoch, xid])
    return rows[0][0] if rows else None


def reach(
    connection: BaseDatabaseWrapper, organization: UUID | None, epoch: int
) -> int:
    """Return the transaction up to which the seals of a chain reach."""
    parameters = {"organization": organization, "epoch": epoch}
    return int(_all(connection, REACH, parameters, organization)[0][0] or 0)


def hash_at(
    connection: BaseDatabaseWrapper, organization: UUID | None, n: int
) -> bytes | None:
    parameters = {"organization": organization, "n": n}
    rows = _all(connection, HEAD, parameters, organization)
    return bytes(rows[0][0]) if rows else None


def sample(
    connection: BaseDatabaseWrapper, tables: list[str], count: int
) -> list[tuple[str, UUID, UUID | None]]:
    """Pick entries at random; return the objects that they are about."""
    return _all(connection, SAMPLE, [tables, count])


def _chain(organization: UUID | None) -> str:
    return ALL if organization is None else ONE


def _all(
    connection: BaseDatabaseWrapper,
    query: str,
    parameters: Any,
    organization: UUID | None = None,
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query.format(chain=_chain(organization)), parameters)
        return list(cursor.fetchall())


def _stream(
    connection: BaseDatabaseWrapper,
    query: str | Composed,
    parameters: dict[str, Any],
    organization: UUID | None,
    name: str,
    size: int = 500,
) -> Iterator[tuple[Any, ...]]:
    connection.ensure_connection()
    if isinstance(query, str):
        query = SQL(query).format(chain=SQL(_chain(organization)))
    with connection.connection.cursor(name=f"audit_{name}") as cursor:
        if name == "entries":
            _hand_over_texts(cursor)
        cursor.itersize = size
        cursor.execute(query, parameters)
        yield from cursor


def _hand_over_texts(cursor: Any) -> None:
    for kind in TYPES:
        cursor.adapters.register_loader(kind, Text)


# One entry and its seal

ROW = SQL("SELECT {columns} FROM audit_logs WHERE {chain} AND id = %(id)s")

SEAL_OF = """
SELECT organization_id, n, version, cluster, epoch, epoch_from, xid_from, xid_to,
       xid_next, first_id, last_id, count, unattributed, root, sha256(leaves),
       prev_hash, sealed_at, hash, signature, key_id, leaves
FROM audit_seals
WHERE {chain} AND first_id <= %(entry)s AND last_id >= %(entry)s
  AND position(uuid_send(%(entry)s) IN leaves) %% 32 = 1
ORDER BY first_id DESC LIMIT 1
"""
LAST_SEAL = """
SELECT epoch_from, xid_to FROM audit_seals WHERE {chain} ORDER BY n DESC LIMIT 1
"""
LEAVES_OF = """
SELECT id, audit_leaf(entry) FROM audit_logs AS entry
WHERE {chain} AND id = ANY(%(ids)s) ORDER BY id
"""


def seal_of(
    connection: BaseDatabaseWrapper, organization: UUID | None, entry: UUID
) -> tuple[Link, bytes] | None:
    """Return the seal that lists an entry, and what it lists."""
    parameters = {"organization": organization, "entry": entry}
    for row in _all(connection, SEAL_OF, parameters, organization):
        *values, digest, signature, key_id, leaves = row
        link = Link(SealValues(*values), bytes(digest), bytes(signature), key_id)
        return link, bytes(leaves)
    return None


def is_pending(
    connection: BaseDatabaseWrapper, organization: UUID | None, entry: UUID, xid: int
) -> bool:
    """Tell whether an entry is behind the last seal of its chain."""
    parameters = {"organization": organization}
    for since, xid_to in _all(connection, LAST_SEAL, parameters, organization):
        return bool(entry >= since and xid >= xid_to)
    return True


def leaves_of(
    connection: BaseDatabaseWrapper, organization: UUID | None, ids: list[UUID]
) -> list[tuple[UUID, bytes]]:
    parameters = {"organization": organization, "ids": ids}
    rows = _all(connection, LEAVES_OF, parameters, organization)
    return [(key, bytes(leaf)) for key, leaf in rows]


def row_of(
    connection: BaseDatabaseWrapper, organization: UUID | None, entry: UUID
) -> tuple[Any, ...]:
    """Return the columns of an entry as texts, in the order of FIELDS."""
    connection.ensure_connection()
    query = ROW.format(columns=COLUMNS[False], chain=SQL(_chain(organization)))
    with connection.connection.cursor() as cursor:
        _hand_over_texts(cursor)
        cursor.execute(query, {"organization": organization, "id": entry})
        row: tuple[Any, ...] = cursor.fetchone()
    return row

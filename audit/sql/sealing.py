"""Statements of the sealer: how far everything is sealed, what comes next, the seal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from audit.seals import EVER, FIRST_EPOCH, NO_HASH, SealValues
from mlops.db.locks import advisory_key

LOCK = "audit:seal"
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%s)"
# A seal may be of millions of entries that one transaction wrote.
PATIENCE = "SELECT set_config('statement_timeout', '0', true)"

# The moment is taken first: whatever has a greater number began later. What a snapshot
# calls its end would not do, since transactions beyond it may be at work already.
LOOK = "SELECT statement_timestamp(), pg_current_xact_id()::text::bigint"

# The newest of all chains is found by how far it reaches, since clocks may go back.
OUTLOOK = """
SELECT statement_timestamp(), pg_snapshot_xmax(seen)::text::bigint,
       (SELECT system_identifier FROM pg_control_system()),
       last.cluster, last.epoch, last.epoch_from, last.xid_to, last.sealed_at,
       last.key_id
FROM pg_current_snapshot() AS seen
LEFT JOIN LATERAL (
    SELECT * FROM audit_seals
    ORDER BY epoch DESC, xid_next DESC LIMIT 1) AS last ON true
"""

# The oldest that still runs in this database; a snapshot would wait for those of all
# databases of the server. Asked after the outlook: what has begun before it and does
# not run any more has ended, and whoever looks from now on sees what it did. Ids come
# here without their upper half.
RUNNING = """
SELECT min(xid - CASE WHEN xid - %(xmax)s > 2147483648 THEN 4294967296
                      WHEN xid - %(xmax)s < -2147483648 THEN -4294967296
                      ELSE 0 END)
FROM (SELECT (%(xmax)s / 4294967296) * 4294967296 + short::text::bigint AS xid
      FROM (SELECT backend_xid FROM pg_stat_activity
            WHERE datname = current_database() AND backend_xid IS NOT NULL
            UNION ALL
            SELECT transaction FROM pg_prepared_xacts
            WHERE database = current_database()) AS running (short)) AS long
"""

# By idx_audit_logs_sealing: the first that is to be sealed, and where a round ends.
BOUNDS = """
SELECT (SELECT transaction_id FROM audit_logs
        WHERE transaction_id >= %(start)s AND transaction_id < %(end)s
          AND id >= %(since)s
        ORDER BY transaction_id LIMIT 1),
       (SELECT transaction_id FROM audit_logs
        WHERE transaction_id >= %(start)s AND transaction_id < %(end)s
          AND id >= %(since)s
        ORDER BY transaction_id OFFSET %(most)s LIMIT 1)
"""

LEAVES = """
SELECT organization_id, id, audit_leaf(entry),
       actor_kind = 'system' AND actor_label = 'unattributed'
FROM audit_logs AS entry
WHERE transaction_id >= %(start)s AND transaction_id < %(end)s AND id >= %(since)s
ORDER BY organization_id, id
"""

# What the last rounds of an epoch may not have seen: behind their horizon, or younger.
LEFT_OVER = """
SELECT organization_id, id, audit_leaf(entry),
       actor_kind = 'system' AND actor_label = 'unattributed'
FROM audit_logs AS entry
WHERE (transaction_id >= %(horizon)s OR id >= %(recent)s)
  AND id >= %(since)s AND id < %(until)s
ORDER BY organization_id, id
"""
LISTED = """
SELECT leaves FROM audit_seals
WHERE epoch = %s AND last_id >= %s
"""

LAST = """
SELECT n, hash, epoch, xid_to FROM audit_seals
WHERE {chain} ORDER BY n DESC LIMIT 1
"""
CHAIN_OF_ALL = "organization_id IS NULL"
CHAIN_OF_ONE = "organization_id = %(organization)s"

ADD = f"SELECT audit_seal(%s, %s, %s::smallint, {', '.join(['%s'] * 17)})"

OLDEST = """
SELECT min(created_at) FROM audit_logs
WHERE transaction_id >= %(start)s AND id >= %(since)s
"""


class Outlook(NamedTuple):
    """How far everything is sealed, and how far it could be."""

    now: datetime
    xmin: int
    xmax: int
    cluster: int
    # Of the newest seal; before the first there is none.
    sealed_in: int | None
    epoch: int
    epoch_from: UUID
    horizon: int
    sealed_at: datetime | None
    key_id: str | None


class Look(NamedTuple):
    """A moment, and a transaction: greater ones began after it."""

    moment: datetime
    xid: int


class Found(NamedTuple):
    """An entry as the sealer needs it."""

    organization: UUID | None
    id: UUID
    leaf: bytes
    is_unattributed: bool


class Last(NamedTuple):
    """Where a chain goes on."""

    n: int = 0
    hash: bytes = NO_HASH
    epoch: int = FIRST_EPOCH
    xid_to: int = 0


def try_lock(connection: BaseDatabaseWrapper) -> bool:
    """Be the one sealer until the transaction ends."""
    return bool(_row(connection, TRY_LOCK, [advisory_key(LOCK)])[0])


def outlook(connection: BaseDatabaseWrapper) -> Outlook:
    now, xmax, cluster, sealed_in, epoch, since, horizon, *last = _row(
        connection, OUTLOOK, []
    )
    (running,) = _row(connection, RUNNING, {"xmax": xmax})
    return Outlook(
        now,
        min(running or xmax, xmax),
        xmax,
        cluster,
        sealed_in,
        epoch or FIRST_EPOCH,
        since or EVER,
        horizon or 0,
        *last,
    )


def look(connection: BaseDatabaseWrapper) -> Look:
    return Look(*_row(connection, LOOK, []))


def bounds(
    connection: BaseDatabaseWrapper, outlook: Outlook, *, most: int
) -> tuple[int | None, int | None]:
    """Return the first transaction to be sealed, and that of the entry after `most`."""
    first, beyond = _row(
        connection,
        BOUNDS,
        {
            "start": outlook.horizon,
            "end": outlook.xmin,
            "since": outlook.epoch_from,
            "most": most,
        },
    )
    return first, beyond


def leaves(
    connection: BaseDatabaseWrapper, outlook: Outlook, end: int
) -> Iterator[Found]:
    """Stream what was committed below `end`, chain by chain, in the order of ids."""
    parameters = {"start": outlook.horizon, "end": end, "since": outlook.epoch_from}
    return _stream(connection, LEAVES, parameters)


def left_over(
    connection: BaseDatabaseWrapper, outlook: Outlook, recent: UUID, until: UUID
) -> Iterator[Found]:
    """Stream what the epoch may have left unsealed; some of it may be sealed."""
    parameters = {
        "horizon": outlook.horizon,
        "recent": recent,
        "since": outlook.epoch_from,
        "until": until,
    }
    return _stream(connection, LEFT_OVER, parameters)


def listed(
    connection: BaseDatabaseWrapper, outlook: Outlook, recent: UUID
) -> Iterator[bytes]:
    """Return the leaves of seals that may list what left_over() tells."""
    with connection.cursor() as cursor:
        cursor.execute(LISTED, [outlook.epoch, recent])
        yield from (bytes(row[0]) for row in cursor.fetchall())


def last_of(connection: BaseDatabaseWrapper, organization: UUID | None) -> Last:
    chain = CHAIN_OF_ALL if organization is None else CHAIN_OF_ONE
    with connection.cursor() as cursor:
        cursor.execute(LAST.format(chain=chain), {"organization": organization})
        row = cursor.fetchone()
    return Last(row[0], bytes(row[1]), *row[2:]) if row else Last()


def add(
    connection: BaseDatabaseWrapper,
    values: SealValues,
    *,
    leaves: bytes,
    digest: bytes,
    signature: bytes,
    key_id: str,
) -> None:
    """Raises IntegrityError for a seal that does not continue its chain."""
    given = values._replace(leaves_sha256=leaves)
    *before, sealed_at = given
    _row(connection, ADD, [*before, digest, sealed_at, signature, key_id])


def oldest_unsealed(
    connection: BaseDatabaseWrapper, outlook: Outlook
) -> datetime | None:
    since = {"start": outlook.horizon, "since": outlook.epoch_from}
    moment: datetime | None = _row(connection, OLDEST, since)[0]
    return moment


def be_patient(connection: BaseDatabaseWrapper) -> None:
    """Let the statements of this transaction take as long as they must."""
    _row(connection, PATIENCE, [])


def _row(connection: BaseDatabaseWrapper, query: str, parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()


def _stream(
    connection: BaseDatabaseWrapper, query: str, parameters: dict[str, Any]
) -> Iterator[Found]:
    connection.ensure_connection()
    with connection.connection.cursor(name="audit_leaves") as cursor:
        cursor.itersize = 5000
        cursor.execute(query, parameters)
        for row in cursor:
            yield Found(*row)

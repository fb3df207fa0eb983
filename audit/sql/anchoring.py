"""What chains have grown since a place was last told of them."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from mlops.db.locks import advisory_key

LOCK = "SELECT pg_advisory_xact_lock(%s)"
LAST = """
SELECT epoch, xid_next FROM audit_anchors WHERE place = %s ORDER BY id DESC LIMIT 1
"""
# By idx_audit_seals_horizon.
GROWN = """
SELECT DISTINCT ON (organization_id) organization_id, n, hash, epoch, xid_next
FROM audit_seals WHERE (epoch, xid_next) > (%s, %s)
ORDER BY organization_id, n DESC
"""


class Grown(NamedTuple):
    """The heads of the chains that grew, and how far all are sealed."""

    heads: list[tuple[UUID | None, int, bytes]]
    epoch: int
    xid_next: int


def lock(connection: BaseDatabaseWrapper, place: str) -> None:
    """Be the only one that tells the place, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [advisory_key(f"audit:anchor:{place}")])


def grown(connection: BaseDatabaseWrapper, place: str) -> Grown:
    with connection.cursor() as cursor:
        cursor.execute(LAST, [place])
        last = cursor.fetchone() or (0, 0)
        cursor.execute(GROWN, last)
        rows = cursor.fetchall()
    reach = max(((epoch, xid_next) for *_, epoch, xid_next in rows), default=last)
    return Grown([(key, n, bytes(digest)) for key, n, digest, *_ in rows], *reach)

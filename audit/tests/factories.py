"""A seal as a row, where none can be made: what a test writes is never committed."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from audit.models import Seal
from audit.seals import EVER, NO_END, NO_HASH
from mlops.db.uuid7 import uuid7


def make_seal(organization_id: UUID | None, *, key_id: str = "unknown") -> Seal:
    """Store a seal that covers nothing; nobody has signed it."""
    entry = uuid7()
    of_chain = Seal._base_manager.filter(organization_id=organization_id)
    seal = Seal(
        id=uuid7(),
        organization_id=organization_id,
        n=of_chain.count() + 1,
        version=1,
        cluster=1,
        epoch=1,
        epoch_from=EVER,
        xid_from=0,
        xid_to=NO_END,
        xid_next=NO_END,
        first_id=entry,
        last_id=entry,
        count=1,
        unattributed=0,
        root=NO_HASH,
        leaves=entry.bytes + bytes(16),
        prev_hash=NO_HASH,
        hash=NO_HASH,
        sealed_at=timezone.now(),
        signature=bytes(64),
        key_id=key_id,
    )
    seal.save(force_insert=True)
    return seal

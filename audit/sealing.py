"""Sealing: what has been committed since the last seals becomes a link of each chain.

One round looks at all organizations at once and takes the entries of transactions from
the horizon, where the last round ended, up to the oldest that still runs: whatever
begins later has a greater id, so nothing can appear behind the horizon any more.
Sealing up to the newest entry instead would miss a transaction that commits late.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import keys
from audit.canonical import VERSION
from audit.keys import SigningKey
from audit.merkle import Tree
from audit.seals import (
    ID_BYTES,
    NO_END,
    PREFIX_BYTES,
    SIGNED,
    SLOT_BYTES,
    SealValues,
    hash_of,
)
from audit.sql import sealing as sql
from audit.sql.sealing import Found, Look, Outlook
from mlops.db.uuid7 import floor
from mlops.errors import Conflict, InvalidState, Unavailable

logger = logging.getLogger(__name__)

# About so many entries a round; a larger transaction is one seal all the same.
MOST = 10_000
# A later entry cannot have an earlier id, unless a clock went back by so much.
CLOCKS = timedelta(hours=1)
PATIENCE_SECONDS = 60.0


class Unsealable(InvalidState):
    """The trail cannot be sealed as it is."""

    code = "unsealable"


@dataclass(slots=True)
class Round:
    """What one round did, over all chains."""

    seals: int = 0
    entries: int = 0
    unattributed: int = 0
    # Whether it stopped at its bound, so that another one has work.
    is_full: bool = False


@dataclass(slots=True)
class Batch:
    """The entries of one chain, on their way into a seal."""

    organization: UUID | None
    tree: Tree = field(default_factory=Tree)
    leaves: bytearray = field(default_factory=bytearray)
    unattributed: int = 0

    def add(self, entry: Found) -> None:
        self.tree.add(entry.leaf)
        self.leaves += entry.id.bytes
        self.leaves += entry.leaf[:PREFIX_BYTES]
        self.unattributed += entry.is_unattributed

    @property
    def first_id(self) -> UUID | None:
        return self._id_at(0) if self.leaves else None

    @property
    def last_id(self) -> UUID | None:
        return self._id_at(-SLOT_BYTES) if self.leaves else None

    def _id_at(self, position: int) -> UUID:
        start = position % len(self.leaves)
        return UUID(bytes=bytes(self.leaves[start : start + ID_BYTES]))


def seal_all(
    connection: BaseDatabaseWrapper,
    key: SigningKey | None = None,
    *,
    most: int = MOST,
    told: Callable[[Round], object] = lambda _: None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Round:
    """Seal in rounds until nothing is left; each commits by itself."""
    total = Round(is_full=True)
    while total.is_full and not is_stopping():
        done = seal_round(connection, key, most=most)
        total.seals += done.seals
        total.entries += done.entries
        total.unattributed += done.unattributed
        total.is_full = done.is_full
        told(total)
    return total


def seal_round(
    connection: BaseDatabaseWrapper, key: SigningKey | None = None, *, most: int = MOST
) -> Round:
    """Seal what is finished, in one transaction; another sealer at work is no error.

    Raises Unsealable where this server did not write what was sealed last, or where
    that was signed by a key that is not trusted.
    """
    with transaction.atomic(using=connection.alias):
        if not sql.try_lock(connection):
            return Round()
        outlook = sql.outlook(connection)
        refuse_foreign(outlook)
        first, beyond = sql.bounds(connection, outlook, most=most)
        if first is None:
            return Round()
        key = key or trusted_key(outlook)
        end = outlook.xmin
        if beyond is not None:
            end = beyond if beyond > first else beyond + 1
        sql.be_patient(connection)
        look = sql.look(connection)
        batches = batches_of(sql.leaves(connection, outlook, end))
        done = _seal(connection, key, outlook, look, batches, end)
    done.is_full = beyond is not None
    return done


def refuse_foreign(outlook: Outlook) -> None:
    """Refuse to go on in a server whose transactions are not those that were sealed.

    Raises Unsealable.
    """
    if outlook.sealed_in not in (None, outlook.cluster):
        raise Unsealable(
            f"The trail was last sealed in cluster {outlook.sealed_in}, and this is"
            f" cluster {outlook.cluster}, which counts transactions anew: run"
            " manage.py seal_audit --checkpoint once after a restore or an upgrade."
        )
    if outlook.xmax < outlook.horizon:
        raise Unsealable(
            f"This server is at transaction {outlook.xmax}, but everything below"
            f" {outlook.horizon} is sealed: run manage.py seal_audit --checkpoint if it"
            " was restored."
        )


def trusted_key(outlook: Outlook) -> SigningKey:
    """Return the key to seal with. Raises Unsealable rather than begin with another
    one while that of the last seal is unknown: verification would reject the chain.
    """
    key = keys.signing_key()
    if outlook.key_id not in (None, key.public.id, *keys.trusted_keys()):
        raise Unsealable(
            f"The last seal bears key {outlook.key_id}, which is not trusted here."
            " Restore secrets/audit_signing_key, or name that key's public half in"
            " AUDIT_PUBLIC_KEYS."
        )
    return key


def batches_of(entries: Iterable[Found]) -> Iterator[Batch]:
    """Gather each chain's entries: 32 bytes of each are kept, and a few hashes."""
    for organization, group in groupby(entries, key=lambda entry: entry.organization):
        batch = Batch(organization)
        for entry in group:
            batch.add(entry)
        yield batch


def _seal(
    connection: BaseDatabaseWrapper,
    key: SigningKey,
    outlook: Outlook,
    look: Look,
    batches: Iterable[Batch],
    xid_to: int,
) -> Round:
    done = Round()
    # All are gathered first: a cursor stands on the connection meanwhile.
    for batch in list(batches):
        add_seal(connection, key, outlook, look, batch, xid_to)
        done.seals += 1
        done.entries += batch.tree.count
        done.unattributed += batch.unattributed
        if batch.unattributed:
            logger.error(
                "sealed %s entries of %s that name no actor, between %s and %s",
                batch.unattributed,
                batch.organization or "the instance",
                batch.first_id,
                batch.last_id,
            )
    return done


def add_seal(
    connection: BaseDatabaseWrapper,
    key: SigningKey,
    outlook: Outlook,
    look: Look,
    batch: Batch,
    xid_to: int,
) -> None:
    last = sql.last_of(connection, batch.organization)
    leaves = bytes(batch.leaves)
    values = SealValues(
        organization=batch.organization,
        n=last.n + 1,
        version=VERSION,
        cluster=outlook.cluster,
        epoch=outlook.epoch,
        epoch_from=outlook.epoch_from,
        xid_from=last.xid_to if last.epoch == outlook.epoch else 0,
        xid_to=xid_to,
        xid_next=look.xid,
        first_id=batch.first_id,
        last_id=batch.last_id,
        entries=batch.tree.count,
        unattributed=batch.unattributed,
        root=batch.tree.root(),
        leaves_sha256=sha256(leaves).digest(),
        prev_hash=last.hash,
        sealed_at=look.moment,
    )
    digest = hash_of(values)
    sql.add(
        connection,
        values,
        leaves=leaves,
        digest=digest,
        signature=key.sign(SIGNED + digest),
        key_id=key.public.id,
    )


# After a restore into another cluster


def checkpoint(connection: BaseDatabaseWrapper) -> Round:
    """Close the epoch and begin another, for a server that counts transactions anew.

    What the old one left unsealed, on whichever server it was written, is sealed
    without an upper bound. Raises Conflict where nothing was ever sealed, Unavailable
    while a transaction runs that may belong to the old epoch.
    """
    if sql.outlook(connection).sealed_in is None:
        raise Conflict("Nothing was ever sealed here: there is no epoch to close.")
    begun = sql.look(connection)
    _await_all_before(connection, begun)
    since = floor(begun.moment)
    with transaction.atomic(using=connection.alias):
        if not sql.try_lock(connection):
            raise Unavailable("Another sealer is at work; try again.")
        outlook = sql.outlook(connection)
        key = trusted_key(outlook)
        sql.be_patient(connection)
        left = batches_of(_left_over(connection, outlook, since))
        # Its transactions tell nothing of time: they may be those of two clusters.
        ended = Look(sql.look(connection).moment, NO_END)
        done = _seal(connection, key, outlook, ended, left, NO_END)
        opened = outlook._replace(epoch=outlook.epoch + 1, epoch_from=since)
        add_seal(connection, key, opened, begun, Batch(None), 1)
    done.seals += 1
    return done


def _await_all_before(connection: BaseDatabaseWrapper, begun: Look) -> None:
    """Wait until whatever wrote before that moment has ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sql.outlook(connection).xmin <= begun.xid:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"A transaction has been running for {PATIENCE_SECONDS:.0f} s; end it"
                " (manage.py locks) and try again."
            )
        time.sleep(0.1)


def _left_over(
    connection: BaseDatabaseWrapper, outlook: Outlook, until: UUID
) -> Iterator[Found]:
    assert outlook.sealed_at
    recent = floor(outlook.sealed_at - CLOCKS)
    sealed = {
        leaves[start : start + ID_BYTES]
        for leaves in sql.listed(connection, outlook, recent)
        for start in range(0, len(leaves), SLOT_BYTES)
    }
    for entry in sql.left_over(connection, outlook, recent, until):
        if entry.id.bytes not in sealed:
            yield entry


# How far behind it is


def lag(connection: BaseDatabaseWrapper) -> timedelta:
    """Return the age of the oldest entry that is in no seal; nothing if all are."""
    outlook = sql.outlook(connection)
    oldest: datetime | None = sql.oldest_unsealed(connection, outlook)
    return outlook.now - oldest if oldest and oldest < outlook.now else timedelta()

"""Verification: everything that was sealed is there, as it was, and nothing else is.

A seal lists its entries by id, with half of each leaf. So both come in the order of ids
and are laid side by side: what a seal lists and is not there was deleted, what is there
and is in no list was inserted, what has another leaf was altered. The memory it takes
is that of the seals whose entries are just passing by.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import checks
from audit.canonical import FIELDS, leaf_of
from audit.keys import TrustedKeys
from audit.merkle import Tree
from audit.partitions import POLICIES
from audit.seals import ID_BYTES, NO_END, NO_HASH, SIGNED, SLOT_BYTES, hash_of
from audit.sql import sealing, verifying
from audit.sql.sealing import Outlook
from audit.sql.verifying import Link, Listing, Period
from mlops.db import partition_problems

XID, CREATED = FIELDS.index("transaction_id"), FIELDS.index("created_at")
LATE = timedelta(seconds=60)
# Of each kind so much is named; all of it is counted.
MOST_NAMED = 1000
TOLD_EVERY = 10_000

Ids = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class Damage:
    """The first thing that is wrong with one seal, or an entry that none covers."""

    organization: UUID | None
    entry: UUID | None
    reason: str
    seal: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Oddity:
    """What is no damage and yet not as it should be."""

    check: str
    severity: str
    object: str
    detail: str = ""
    advice: str = ""


@dataclass(slots=True)
class Verdict:
    entries: int = 0
    seals: int = 0
    unsealed: int = 0
    damages: int = 0
    damaged: list[Damage] = field(default_factory=list)
    oddities: list[Oddity] = field(default_factory=list)
    oldest_unsealed: datetime | None = None

    def add(self, damage: Damage) -> None:
        self.damages += 1
        if len(self.damaged) < MOST_NAMED:
            self.damaged.append(damage)

    def note(self, oddity: Oddity) -> None:
        if len(self.oddities) < MOST_NAMED:
            self.oddities.append(oddity)


class Open:
    """A seal some of whose entries are still to come."""

    __slots__ = ("bound", "is_whole", "listing", "position", "problem", "tree")

    def __init__(self, listing: Listing, bound: bytes) -> None:
        self.listing = listing
        # Entries below it look older than the round before this seal's.
        self.bound = bound
        self.position = 0
        self.tree = Tree()
        self.is_whole = True
        self.problem: Damage | None = None

    @property
    def expected(self) -> bytes:
        return self.listing.leaves[self.position : self.position + ID_BYTES]

    @property
    def prefix(self) -> bytes:
        start = self.position + ID_BYTES
        return self.listing.leaves[start : self.position + SLOT_BYTES]

    def advance(self) -> bool:
        """Go on to its next entry; False when that was the last."""
        self.position += SLOT_BYTES
        return self.position < len(self.listing.leaves)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is compared of an entry; the rest is in its leaf."""

    id: bytes
    leaf: bytes
    xid: int
    created: bytes


class Verification:
    """One run over all chains, or over one, in one snapshot.

    `gone` are the ranges of ids whose months were archived: their entries may be
    missing, their seals may not.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        trusted: TrustedKeys,
        *,
        period: Period | None = None,
        fast: bool = False,
        gone: Iterable[Ids] = (),
        told: Callable[[Verdict], object] = lambda _: None,
    ) -> None:
        self.connection = connection
        self.trusted = trusted
        self.period = period or Period()
        self.fast = fast
        self.gone = [(first.bytes, end.bytes) for first, end in gone]
        self.told = told
        self.verdict = Verdict()

    def run(self, chains: list[UUID | None] | None = None) -> Verdict:
        """Verify chains, all unless some are named; call it within a snapshot."""
        self.outlook: Outlook = sealing.outlook(self.connection)
        self.epochs = verifying.epochs(self.connection)
        if chains is None:
            chains = verifying.chains(self.connection)
        for organization in chains:
            self._verify_chain(organization)
        self._find_lateness()
        return self.verdict

    def _verify_chain(self, organization: UUID | None) -> None:
        self.organization = organization
        self.broken: set[int] = set()
        self._verify_links()
        self._verify_entries()

    # Links: each seal by itself, and with the one before it

    def _verify_links(self) -> None:
        first, last = self._span()
        before: Link | None = None
        for link in verifying.links(self.connection, self.organization, first, last):
            self.verdict.seals += 1
            reason, detail = self._fault_of(link, before, first)
            if reason:
                self.broken.add(link.values.n)
                self.verdict.add(
                    Damage(
                        self.organization,
                        link.values.first_id,
                        reason,
                        link.values.n,
                        detail,
                    )
                )
            before = link

    def _span(self) -> tuple[int, int]:
        if self.period == Period():
            return 1, NO_END
        return verifying.span(self.connection, self.organization, self.period)

    def _fault_of(self, link: Link, before: Link | None, first: int) -> tuple[str, str]:
        values = link.values
        expected = before.values.n + 1 if before else first
        if values.n > expected:
            return "seal_missing", f"seal {expected} is missing"
        if values.n < expected or hash_of(values) != link.hash:
            return "seal_altered", "its hash is another"
        key = self.trusted.get(link.key_id)
        if key is None:
            return "resealed", f"key {link.key_id} is not trusted"
        if not key.signed(link.signature, SIGNED + link.hash):
            return "resealed", f"key {link.key_id} has not signed it"
        return self._fault_of_place(link, before, first)

    def _fault_of_place(
        self, link: Link, before: Link | None, first: int
    ) -> tuple[str, str]:
        values = link.values
        if not 1 <= values.epoch <= len(self.epochs) or (
            values.epoch_from != self.epochs[values.epoch - 1]
        ):
            return "seal_altered", f"epoch {values.epoch} begins elsewhere"
        if before is None and first > 1:
            return "", ""
        same_epoch = before is not None and before.values.epoch == values.epoch
        prev_hash = before.hash if before else NO_HASH
        xid_from = before.values.xid_to if before and same_epoch else 0
        if values.prev_hash != prev_hash or values.xid_from != xid_from:
            return "seal_missing", "it does not follow from the seal before it"
        return "", ""

    # Entries: what seals list, beside what is there

    def _verify_entries(self) -> None:
        self.heap: list[tuple[bytes, int, Open]] = []
        self.reached: int | None = None
        lists = verifying.lists(self.connection, self.organization, self.period)
        listing = next(lists, None)
        for entry in self._entries():
            while listing is not None and listing.first_id.bytes <= entry.id:
                self._open(listing)
                listing = next(lists, None)
            self._miss_below(entry.id)
            if not self._meet(entry):
                self._find_unlisted(entry)
            self.verdict.entries += 1
            if self.verdict.entries % TOLD_EVERY == 0:
                self.told(self.verdict)
        while listing is not None:
            self._open(listing)
            listing = next(lists, None)
            self._miss_below(listing.first_id.bytes if listing else b"\xff" * 17)
        self._miss_below(b"\xff" * 17)

    def _entries(self) -> Iterator[Entry]:
        rows = verifying.entries(
            self.connection, self.organization, self.period, fast=self.fast
        )
        if self.fast:
            for row in rows:
                yield Entry(_id_of(row[0]), row[1], int(row[2]), row[3])
        else:
            for row in rows:
                yield Entry(_id_of(row[0]), leaf_of(row), int(row[XID]), row[CREATED])

    def _open(self, listing: Listing) -> None:
        if not listing.leaves:
            return
        opened = Open(listing, self._bound(listing.looked_at))
        heapq.heappush(self.heap, (opened.expected, listing.n, opened))

    def _bound(self, looked_at: datetime | None) -> bytes:
        if looked_at is None:
            return b""
        earliest = looked_at - timedelta(seconds=settings.AUDIT_CLOCK_SECONDS)
        return f"{earliest.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}".encode()

    def _miss_below(self, key: bytes) -> None:
        """Whatever is still expected before `key` is not there."""
        while self.heap and self.heap[0][0] < key:
            opened = self.heap[0][2]
            missing = self.heap[0][0]
            if self._is_to_be_there(missing):
                self._blame(opened, missing, "deleted")
            else:
                opened.is_whole = False
            self._go_on(opened)

    def _meet(self, entry: Entry) -> bool:
        """Compare the entry with the seals that list it; False if none does."""
        is_listed = False
        while self.heap and self.heap[0][0] == entry.id:
            opened = self.heap[0][2]
            if opened.prefix != entry.leaf[: SLOT_BYTES - ID_BYTES]:
                self._blame(opened, entry.id, "altered")
            elif opened.bound and entry.created < opened.bound:
                self._weigh_clock(opened.listing.epoch, entry)
            opened.tree.add(entry.leaf)
            self._go_on(opened)
            is_listed = True
        return is_listed

    def _go_on(self, opened: Open) -> None:
        if opened.advance():
            heapq.heapreplace(self.heap, (opened.expected, opened.listing.n, opened))
            return
        heapq.heappop(self.heap)
        is_root = opened.tree.root() == opened.listing.root
        if opened.problem is None and opened.is_whole and not is_root:
            self._blame(opened, opened.listing.first_id.bytes, "altered")
        if opened.problem and opened.listing.n not in self.broken:
            self.verdict.add(opened.problem)

    def _blame(self, opened: Open, key: bytes, reason: str) -> None:
        if opened.problem is None:
            opened.problem = Damage(
                self.organization, UUID(bytes=key), reason, opened.listing.n
            )

    def _is_to_be_there(self, key: bytes) -> bool:
        if not self.period.since.bytes <= key < self.period.until.bytes:
            return False
        return not any(first <= key < end for first, end in self.gone)

    def _find_unlisted(self, entry: Entry) -> None:
        """An entry that no seal lists: it is to be sealed yet, or should not be."""
        reason = self._why_unlisted(entry)
        if reason:
            self.verdict.add(Damage(self.organization, UUID(bytes=entry.id), reason))
            return
        verdict = self.verdict
        verdict.unsealed += 1
        created = datetime.fromisoformat(entry.created.decode())
        if verdict.oldest_unsealed is None or created < verdict.oldest_unsealed:
            verdict.oldest_unsealed = created
        outlook = self.outlook
        is_ours = outlook.sealed_in == outlook.cluster
        if is_ours and entry.created < self._bound(outlook.sealed_at):
            self._weigh_clock(outlook.epoch, entry)

    def _why_unlisted(self, entry: Entry) -> str:
        outlook = self.outlook
        if outlook.sealed_in is None:
            return ""
        if outlook.sealed_in != outlook.cluster:
            assert outlook.sealed_at
            # Written since the restore, or before it and after the last seals.
            is_young = entry.created >= self._bound(outlook.sealed_at)
            return "" if is_young or entry.xid >= outlook.horizon else "inserted"
        epoch = bisect_right([each.bytes for each in self.epochs], entry.id)
        if epoch < outlook.epoch:
            return "inserted"
        if entry.xid >= outlook.xmax:
            return "inserted"  # no transaction has that id yet
        if entry.xid >= outlook.horizon:
            return ""
        if self.reached is None:
            self.reached = verifying.reach(
                self.connection, self.organization, outlook.epoch
            )
        return "inserted" if entry.xid < self.reached else "unsealed"

    def _weigh_clock(self, epoch: int, entry: Entry) -> None:
        """Note an entry that tells an earlier moment than a look which had not seen
        its transaction begin.
        """
        looked_at = verifying.look_before(self.connection, epoch, entry.xid)
        if looked_at and entry.created < self._bound(looked_at):
            self.verdict.note(
                Oddity(
                    "clock",
                    "warning",
                    str(UUID(bytes=entry.id)),
                    f"it says {entry.created.decode()} and was not there at"
                    f" {looked_at.isoformat()}",
                    "See whether the database's clock went back; else the entry was"
                    " back-dated by whoever inserted it.",
                )
            )

    def _find_lateness(self) -> None:
        outlook, oldest = self.outlook, self.verdict.oldest_unsealed
        if outlook.sealed_in not in (None, outlook.cluster):
            self.verdict.note(
                Oddity(
                    "cluster",
                    "warning",
                    str(outlook.cluster),
                    f"the trail was sealed in cluster {outlook.sealed_in}",
                    "Run manage.py seal_audit --checkpoint.",
                )
            )
        elif oldest and outlook.now - oldest > LATE:
            self.verdict.note(
                Oddity(
                    "late",
                    "warning",
                    "audit_logs",
                    f"{self.verdict.unsealed} entries are in no seal, the oldest since"
                    f" {oldest.isoformat()}",
                    "See that the worker runs and no transaction stays open for long.",
                )
            )


def _id_of(text: bytes) -> bytes:
    return bytes.fromhex(text.replace(b"-", b"").decode())


# What is not in the rows: the table itself, and what keeps it


def look_at_catalog(
    connection: BaseDatabaseWrapper, verdict: Verdict, now: datetime
) -> None:
    """Note months that are missing, and triggers and grants that are not as stated."""
    for identity, problem, hint in checks.problems(connection):
        verdict.note(Oddity("catalog", "critical", identity, problem, hint))
    for each in partition_problems.verify(connection, POLICIES[0], now):
        if each.kind == "gap":
            verdict.note(
                Oddity(
                    "months",
                    "critical",
                    each.partition,
                    each.detail,
                    "Find out who dropped the month; restore it from a backup.",
                )
            )

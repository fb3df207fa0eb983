"""Writing months of the trail away: verified, packed, read back, and then recorded.

The seals over its entries lie beside them, so that an archive can be checked without
the database that it came from.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import archive_files
from audit.archive_files import Packed
from audit.archives import (
    ENTRIES,
    Damaged,
    Month,
    archive_of,
    differences,
    message_of,
)
from audit.keys import signing_key, trusted_keys
from audit.lines import COLUMNS, as_json, columns_of
from audit.models import AuditLog
from audit.partitions import POLICIES
from audit.seals import ID_BYTES, SLOT_BYTES, moment_text
from audit.sql import archives as sql
from audit.sql.archives import Record
from audit.sql.verifying import Period, snapshot
from audit.verification import Verification
from mlops.db.partitions import Policy, month_start, partitions_of
from mlops.errors import Conflict
from tenants.context import Actor, record
from tenants.unscoped import every_organization

PAGE = 2000
ID, OWNER = COLUMNS.index("id"), COLUMNS.index("organization_id")
SEALS = "seals.jsonl.gz"
ACTOR = Actor(kind="command", label="archive_audit")
REASON = "audit months past their time"
# So long after a month's end its last transactions have been sealed.
SETTLED = timedelta(days=1)


def months_at_hand(connection: BaseDatabaseWrapper, policy: Policy) -> list[Month]:
    found = partitions_of(connection, policy)
    starts = [policy.month_of(each.name) for each in found if each.attached]
    return sorted((Month(s) for s in starts if s), key=lambda month: month.start)


def due(months: Iterable[Month], policy: Policy, now: datetime) -> list[Month]:
    """Return the months that are kept no longer."""
    oldest_kept = month_start(now, -policy.keep_months)
    return [month for month in months if month.start < oldest_kept]


def archive_due(
    connection: BaseDatabaseWrapper, now: datetime
) -> Iterator[tuple[Month, Record | Conflict]]:
    """Archive every month that is due and was not; what has to wait is told why."""
    (policy,) = POLICIES
    for month in due(months_at_hand(connection, policy), policy, now):
        if archive_of(connection, month) is None:
            try:
                yield month, archive(connection, month, now)
            except Conflict as refusal:
                yield month, refusal


def refuse_too_early(
    connection: BaseDatabaseWrapper, month: Month, now: datetime
) -> None:
    """Raises Conflict while entries of the month may still come, or are unsealed."""
    if month.end + SETTLED > now:
        raise Conflict(f"{month} is not over for a day yet: entries may still come.")
    if sql.has_unsealed(connection, month.first_id, month.end_id):
        raise Conflict(
            f"{month} holds entries that are not sealed; run manage.py seal_audit."
        )


def archive(connection: BaseDatabaseWrapper, month: Month, now: datetime) -> Record:
    """Write the month, read it back, and record it.

    Raises Conflict for a month that has to wait, Damaged for one that is not whole.
    """
    refuse_too_early(connection, month, now)
    refuse_damaged(connection, month)
    folder = f"{month}-{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"
    with tempfile.TemporaryDirectory(prefix="mlops-audit-") as drafts:
        counts, entries, seals = packed(connection, month, Path(drafts))
        for file in (entries, seals):
            archive_files.put(folder, Path(drafts) / file.name)
    manifest = manifest_of(month, now, counts, entries, seals)
    made = Record(
        month=month.start.date(),
        first_id=month.first_id,
        end_id=month.end_id,
        entries=entries.lines,
        size_bytes=entries.size_bytes,
        sha256=entries.sha256,
        manifest_sha256=archive_files.put_manifest(folder, manifest),
        location=folder,
        archived_at=now,
        signature=b"",
        key_id="",
    )
    if problems := differences(made):
        raise Damaged(f"{month} could not be read back: {'; '.join(problems)}")
    return keep(connection, made)


def refuse_damaged(connection: BaseDatabaseWrapper, month: Month) -> None:
    """Raises Damaged where an entry is not what was sealed: it must not go unseen."""
    period = Period(month.first_id, month.end_id)
    with snapshot(connection):
        verification = Verification(
            connection, trusted_keys(), period=period, fast=True
        )
        verdict = verification.run()
    if verdict.damages:
        first = verdict.damaged[0]
        raise Damaged(
            f"{month} has {verdict.damages} damages, first: {first.reason} at entry"
            f" {first.entry}; run manage.py verify_audit."
        )


def packed(
    connection: BaseDatabaseWrapper, month: Month, drafts: Path
) -> tuple[Counter[str], Packed, Packed]:
    """Write entries and seals into files, and count both by organization."""
    counts: Counter[str] = Counter()
    sealed: Counter[str] = Counter()
    entries = archive_files.pack(
        drafts / ENTRIES, entries_of(connection.alias, month, counts)
    )
    seals = archive_files.pack(drafts / SEALS, seals_of(connection, month, sealed))
    if counts != sealed:
        raise Damaged(
            f"{month} holds {counts.total()} entries, and {sealed.total()} were sealed;"
            " run manage.py verify_audit."
        )
    return counts, entries, seals


def entries_of(using: str, month: Month, counts: Counter[str]) -> Iterator[bytes]:
    """Yield the lines of a month in the order of ids, and count them by owner."""
    rows = AuditLog._base_manager.using(using).filter(id__lt=month.end_id)
    rows = columns_of(rows.order_by("id"))
    page = list(rows.filter(id__gte=month.first_id)[:PAGE])
    while page:
        counts.update(str(entry[OWNER]) for entry in page)
        yield as_json(page)
        page = list(rows.filter(id__gt=page[-1][ID])[:PAGE])


def seals_of(
    connection: BaseDatabaseWrapper, month: Month, sealed: Counter[str]
) -> Iterator[bytes]:
    """Yield the seals over entries of the month, and count what of it they cover."""
    first, end = month.first_id.bytes, month.end_id.bytes
    for seal in sql.seals_of(connection, month.first_id, month.end_id):
        leaves = bytes(seal["leaves"])
        ids = (
            leaves[start : start + ID_BYTES]
            for start in range(0, len(leaves), SLOT_BYTES)
        )
        count = sum(first <= key < end for key in ids)
        if count:
            sealed[str(seal["organization_id"])] += count
            yield orjson.dumps(told(seal), option=orjson.OPT_APPEND_NEWLINE)


BYTES = (bytes, memoryview)


def told(seal: dict[str, Any]) -> dict[str, Any]:
    """Write bytes as digits; 64-bit numbers stay numbers."""
    texts = {n: bytes(v).hex() for n, v in seal.items() if isinstance(v, BYTES)}
    moment = {"sealed_at": moment_text(seal["sealed_at"])}
    return seal | texts | moment


def manifest_of(
    month: Month, now: datetime, counts: Counter[str], *files: Packed
) -> dict[str, Any]:
    return {
        "version": 1,
        "month": str(month),
        "first_id": str(month.first_id),
        "end_id": str(month.end_id),
        "archived_at": moment_text(now),
        "entries": counts.total(),
        "organizations": dict(counts),
        "files": [archive_files.as_told(packed) for packed in files],
    }


def keep(connection: BaseDatabaseWrapper, made: Record) -> Record:
    """Sign the record and add it, together with an entry that says so."""
    key = signing_key()
    signature = key.sign(message_of(made))
    signed = made._replace(signature=signature, key_id=key.public.id)
    with every_organization(ACTOR, reason=REASON):
        sql.add(connection, signed)
        record(
            "audit.archived",
            month=f"{made.month:%Y-%m}",
            entries=made.entries,
            sha256=made.sha256,
            location=made.location,
        )
    return signed

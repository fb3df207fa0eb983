"""Months of the trail that lie elsewhere as files, each with a signed record.

Only such a month may be detached and dropped, and verification then leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import archive_files
from audit.archive_files import Packed
from audit.canonical import framed
from audit.keys import TrustedKeys, trusted_keys
from audit.models import AuditLog
from audit.seals import moment_text
from audit.sql import archives as sql
from audit.sql.archives import Record
from mlops.db.partitions import month_start
from mlops.db.uuid7 import floor
from mlops.errors import Conflict

ARCHIVE = b"mlops audit archive 1\n"
ENTRIES = "entries.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Month:
    start: datetime

    @property
    def end(self) -> datetime:
        return month_start(self.start, 1)

    @property
    def first_id(self) -> UUID:
        return floor(self.start)

    @property
    def end_id(self) -> UUID:
        return floor(self.end)

    @property
    def partition(self) -> str:
        return f"{AuditLog._meta.db_table}_{self.start:%Y_%m}"

    @classmethod
    def beginning(cls, day: date) -> Month:
        return cls(datetime(day.year, day.month, 1, tzinfo=UTC))

    def __str__(self) -> str:
        return f"{self.start:%Y-%m}"


class Damaged(Conflict):
    """What is to be archived, or was, is not what was sealed or written."""

    code = "damaged"


# What was archived


def archived_ranges(connection: BaseDatabaseWrapper) -> list[tuple[UUID, UUID]]:
    """Return the ranges of ids, half open, whose entries lie in a signed archive."""
    return [(found.first_id, found.end_id) for found in believed(connection)]


def believed(connection: BaseDatabaseWrapper) -> list[Record]:
    """The records that bear the signature of a trusted key."""
    keys = trusted_keys()
    return [found for found in sql.records(connection) if is_signed(found, keys)]


def is_signed(found: Record, keys: TrustedKeys) -> bool:
    key = keys.get(found.key_id)
    return key is not None and key.signed(found.signature, message_of(found))


def message_of(found: Record) -> bytes:
    """Write all that the signature covers, each value behind its length."""
    *values, moment = found[:9]
    texts = [*map(str, values), moment_text(moment)]
    return ARCHIVE + framed([text.encode() for text in texts])


def archive_of(connection: BaseDatabaseWrapper, month: Month) -> Record | None:
    """Return the newest believed record of the month."""
    of_month = [r for r in believed(connection) if r.first_id == month.first_id]
    return of_month[-1] if of_month else None


# Reading back


def problems_of(made: Record) -> list[str]:
    """Say what is wrong with an archive; an empty list: nothing."""
    if not is_signed(made, trusted_keys()):
        return ["its record bears no signature of a trusted key"]
    return differences(made)


def differences(made: Record) -> list[str]:
    """Compare what is stored with what was recorded, byte by byte."""
    try:
        manifest, digest = archive_files.read_manifest(made.location)
    except OSError as error:
        return [f"{made.location}: {error}"]
    if digest != made.manifest_sha256:
        return [f"{made.location}/{archive_files.MANIFEST} is not what was signed"]
    files = [Packed(**told) for told in manifest["files"]]
    found = [f"{f.name} differs" for f in files if not is_whole(made.location, f)]
    entries = next(file for file in files if file.name == ENTRIES)
    if (entries.sha256, entries.lines) != (made.sha256, made.entries):
        found.append(f"{ENTRIES} is not what was signed")
    return found


def is_whole(folder: str, told: Packed) -> bool:
    try:
        return archive_files.read_again(folder, told.name) == told
    except (OSError, EOFError):
        return False


# What may go


def why_held(connection: BaseDatabaseWrapper, month: Month) -> str:
    """Say why a month must stay; empty lets it go."""
    if archive_of(connection, month) is None:
        return (
            f"{month} is not archived yet; run manage.py archive_audit --month {month}"
        )
    if sql.has_unsealed(connection, month.first_id, month.end_id):
        return f"{month} holds entries that are not sealed; run manage.py seal_audit"
    holding = sql.holders(
        connection,
        first_id=month.first_id,
        end_id=month.end_id,
        end=month.end,
        partition=month.partition,
    )
    if holding:
        return f"legal hold of {', '.join(holding[:5])}; lift it first"
    return ""


def reading_connection() -> BaseDatabaseWrapper:
    """Past row-level security, which would hide every entry from who owns the table."""
    return connections[settings.ADMIN_ALIAS]

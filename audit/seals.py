"""What a seal is: values that its hash covers, all of them, and how it is signed."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from audit.canonical import framed

# Changes with the encoding; so does the version of entries, which it goes along with.
SEAL = b"mlops audit seal 1\n"
# What a signature of a seal's hash begins with, so that it signs nothing else.
SIGNED = b"mlops audit seal\n"
NO_HASH = bytes(32)
# How the chain of what belongs to no organization is called in anchors.
INSTANCE = "instance"
# Of a leaf a seal keeps so much, behind the id of its entry.
ID_BYTES = PREFIX_BYTES = 16
SLOT_BYTES = ID_BYTES + PREFIX_BYTES
FIRST_EPOCH = 1
EVER = UUID(int=0)
# The end of an epoch whose transaction ids end with it.
NO_END = 2**63 - 1


class SealValues(NamedTuple):
    """The columns of a seal that its hash covers; `leaves` may be given by digest."""

    organization: UUID | None
    n: int
    version: int
    cluster: int
    epoch: int
    epoch_from: UUID
    xid_from: int
    xid_to: int
    xid_next: int
    first_id: UUID | None
    last_id: UUID | None
    entries: int
    unattributed: int
    root: bytes
    leaves_sha256: bytes
    prev_hash: bytes
    sealed_at: datetime


def hash_of(values: SealValues) -> bytes:
    return sha256(SEAL + framed(texts_of(values))).digest()


def texts_of(values: SealValues) -> list[bytes | None]:
    return [_text(value) for value in values]


def _text(value: UUID | int | bytes | datetime | None) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex().encode()
    if isinstance(value, datetime):
        return moment_text(value).encode()
    return str(value).encode()


def moment_text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"

"""Blobs: put, found and read by their digest, in constant memory."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.storage import storages

from mlops.errors import InvalidInput, NotFound, TooLarge
from mlops.streams import Source
from registry.storage.damage import tell_of_damage
from registry.storage.drafts import Draft, new_draft, telling_when_full

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Bytes that are safely stored, by what they are."""

    sha256: str
    size_bytes: int

    def check(self, size_bytes: int | None, sha256: str | None) -> None:
        """Raises InvalidInput unless the bytes are those that were announced."""
        if size_bytes not in (None, self.size_bytes):
            raise InvalidInput(
                f"The body ended after {self.size_bytes} of {size_bytes} bytes."
            )
        if sha256 not in (None, self.sha256):
            raise InvalidInput("The body does not have the digest that was announced.")


def blob_name(organization: UUID, sha256: str) -> str:
    """The name says nothing of the file; blobs of two organizations never meet."""
    return f"{organization}/{sha256[:2]}/{sha256[2:]}"


def put_blob(
    organization: UUID,
    source: Source,
    *,
    max_bytes: int,
    expected_bytes: int | None = None,
    expected_sha256: str | None = None,
) -> StoredBlob:
    """Store all that `source` holds, in constant memory; on disk when it returns.

    Raises TooLarge beyond `max_bytes`, InvalidInput when the bytes are not those that
    were announced, Unavailable when the disk is full; then nothing is left behind.
    """
    with telling_when_full(), new_draft() as draft:
        blob = write_draft(draft, source, max_bytes)
        blob.check(expected_bytes, expected_sha256)
        # Also when it is there already: this mends a damaged one, and makes it new
        # for the sweep, which spares young blobs that no row points at yet.
        storages["blobs"].save(blob_name(organization, blob.sha256), draft)
    return blob


def write_draft(draft: Draft, source: Source, max_bytes: int) -> StoredBlob:
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise TooLarge(f"A file may have at most {max_bytes} bytes.")
        digest.update(chunk)
        draft.write(chunk)
    draft.flush()
    os.fsync(draft.fileno())
    draft.seek(0)
    return StoredBlob(digest.hexdigest(), size)


def has_blob(organization: UUID, sha256: str) -> bool:
    return storages["blobs"].exists(blob_name(organization, sha256))


def open_blob(organization: UUID, blob: StoredBlob) -> File:
    """Raises NotFound, and an alarm, when the bytes are not there whole."""
    name = blob_name(organization, blob.sha256)
    try:
        file = storages["blobs"].open(name)
    except (OSError, SuspiciousFileOperation) as error:
        logger.error("blob %s cannot be opened: %s", name, error)
        tell_of_damage(organization, blob.sha256, "is missing")
        raise NotFound("The bytes of this file are missing in the store.") from None
    if file.size != blob.size_bytes:
        problem = f"has {file.size} bytes, not {blob.size_bytes}"
        file.close()
        tell_of_damage(organization, blob.sha256, problem)
        raise NotFound("The bytes of this file are damaged in the store.")
    return file


class DamagedBlob(Exception):
    """The bytes in the store do not have the digest they are named after."""


class BlobStream:
    """The bytes of a blob, or a range of them, piece by piece.

    When a whole blob turns out damaged, its last piece is withheld, so that the
    receiver meets a broken answer and not a wrong file.
    """

    def __init__(
        self,
        file: File,
        *,
        start: int,
        length: int,
        sha256: str,
        organization: UUID | None = None,
    ) -> None:
        """`organization` is whose trail tells of damage; without one only the log."""
        self.file = file
        self.organization = organization
        self.left = length
        self.sha256 = sha256
        self.digest = hashlib.sha256() if length == file.size else None
        file.seek(start)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.left <= 0:
            raise StopIteration
        chunk: bytes = self.file.read(min(CHUNK_BYTES, self.left))
        self.left -= len(chunk)
        if self.digest:
            self.digest.update(chunk)
        if not chunk or (self.left == 0 and self._is_damaged()):
            self._tell("is damaged" if chunk else "ends too early")
            raise DamagedBlob(self.sha256)
        return chunk

    def _is_damaged(self) -> bool:
        return self.digest is not None and self.digest.hexdigest() != self.sha256

    def _tell(self, problem: str) -> None:
        if self.organization is None:
            logger.error("blob %s %s", self.sha256, problem)
        else:
            tell_of_damage(self.organization, self.sha256, problem)

    def close(self) -> None:
        self.file.close()

"""Where bytes live: the paths that clients may name, and blobs by their digest.

A client's text never becomes a path of the store: it becomes an `ArtifactKey`, which
is a column of a row, and the row points at a blob, whose name is its SHA-256. Blobs
lie in `storages["blobs"]`: a folder of this machine, or whatever backend is set.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.storage import FileSystemStorage, storages

from mlops.errors import InvalidInput, NotFound, TooLarge, Unavailable
from mlops.streams import Source

logger = logging.getLogger(__name__)

MAX_KEY_BYTES = 1024
MAX_SEGMENTS = 100
CHUNK_BYTES = 256 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# Control characters, lone surrogates, line and paragraph separators.
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
# What a decoder writes for bytes that are no UTF-8, such as an overlong "/".
UNDECODABLE = "\ufffd"
DRIVE_OR_FILE_URI = re.compile(r"(?:[a-z]|file):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ArtifactKey:
    """The path of a file in its package; only text that passed the checks is one.

    The text must have been decoded once, by the framework, and is kept as it is. It
    is refused, too, when decoding it again or composing its characters would make it
    climb, so that no reader further on can be led astray. Raises InvalidInput.
    """

    path: str

    def __post_init__(self) -> None:
        if not is_safe(self.path):
            # The text is not repeated: it may hold anything. MLflow says the same.
            raise InvalidInput("Invalid path")

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folders(self) -> list[str]:
        """The folders above: "a" and "a/b" of "a/b/c"."""
        parts = self.path.split("/")
        return ["/".join(parts[:depth]) for depth in range(1, len(parts))]

    def __str__(self) -> str:
        return self.path


def is_safe(text: str) -> bool:
    if len(text.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        return False
    return all(is_plain(form) for form in readings_of(text))


def readings_of(text: str) -> Iterator[str]:
    """Yield the text as it is, decoded again and again, and each of them composed."""
    while True:
        yield text
        yield unicodedata.normalize("NFKC", text)
        decoded = unquote(text)
        if decoded == text:
            return
        text = decoded


def is_plain(text: str) -> bool:
    """Tell whether the text is a relative path that names a file and never climbs."""
    if "\\" in text or UNDECODABLE in text or DRIVE_OR_FILE_URI.match(text):
        return False
    if any(unicodedata.category(each) in UNPRINTABLE for each in text):
        return False
    segments = text.split("/")
    # Dots and blanks alone: "", ".", "..", and what some systems take for them.
    return len(segments) <= MAX_SEGMENTS and all(each.strip(". ") for each in segments)


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Bytes that are safely stored, by what they are."""

    sha256: str
    size_bytes: int


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
        if expected_bytes not in (None, blob.size_bytes):
            raise InvalidInput(
                f"The body ended after {blob.size_bytes} of {expected_bytes} bytes."
            )
        if expected_sha256 not in (None, blob.sha256):
            raise InvalidInput("The body does not have the digest that was announced.")
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
    """Raises NotFound, and tells the operator, when the bytes are not there whole."""
    name = blob_name(organization, blob.sha256)
    try:
        file = storages["blobs"].open(name)
    except (OSError, SuspiciousFileOperation) as error:
        logger.error("blob %s is missing: %s", name, error)
        raise NotFound("The bytes of this file are missing in the store.") from None
    if file.size != blob.size_bytes:
        logger.error("blob %s has %s bytes, not %s", name, file.size, blob.size_bytes)
        file.close()
        raise NotFound("The bytes of this file are damaged in the store.")
    return file


class DamagedBlob(Exception):
    """The bytes in the store do not have the digest they are named after."""


class BlobStream:
    """The bytes of a blob, or a range of them, piece by piece.

    When a whole blob turns out damaged, its last piece is withheld, so that the
    receiver meets a broken answer and not a wrong file.
    """

    def __init__(self, file: File, *, start: int, length: int, sha256: str) -> None:
        self.file = file
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
            logger.error("blob %s is damaged", self.sha256)
            raise DamagedBlob(self.sha256)
        return chunk

    def _is_damaged(self) -> bool:
        return self.digest is not None and self.digest.hexdigest() != self.sha256

    def close(self) -> None:
        self.file.close()


class Draft(File):
    """A file still being written; a store on the same disk takes it by renaming."""

    def temporary_file_path(self) -> str:
        return str(self.name)


@contextmanager
def new_draft() -> Iterator[Draft]:
    """Open a file that is gone when the block ends, unless a store has taken it."""
    # Made with O_EXCL, O_NOFOLLOW and 0600. Its own `delete` fails on a renamed file.
    file = NamedTemporaryFile(dir=drafts_folder(), suffix=".draft", delete=False)  # noqa: SIM115
    try:
        with file:
            yield Draft(file)
    finally:
        Path(file.name).unlink(missing_ok=True)


def drafts_folder() -> Path | None:
    """Beside the blobs where that is a folder, else (None) the system's own."""
    store = storages["blobs"]
    return store.drafts if isinstance(store, BlobFolder) else None


def sweep_drafts(*, older_than: timedelta = timedelta(minutes=10)) -> int:
    """Remove what killed processes left; a living upload touches its draft anew."""
    folder, removed = drafts_folder(), 0
    for draft in folder.glob("*.draft") if folder else ():
        try:
            if time.time() - draft.stat().st_mtime > older_than.total_seconds():
                draft.unlink()
                removed += 1
        except FileNotFoundError:
            pass  # just finished
    return removed


@contextmanager
def telling_when_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        logger.error("the store is full: %s", error)
        raise Unavailable("The store of this server is full.") from None


class BlobFolder(FileSystemStorage):
    """Blobs as files of this machine: whole or absent, durable, behind no link."""

    @property
    def drafts(self) -> Path:
        folder = Path(self.location) / "drafts"
        self._make_folders(folder)
        return folder

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Keep the name: the same name means the same bytes."""
        return name

    def path(self, name: str) -> str:
        """Raises SuspiciousFileOperation when a link stands anywhere on the way."""
        path: str = super().path(name)
        folder = os.path.dirname(path)
        below = os.path.relpath(folder, self.location)
        straight = os.path.join(os.path.realpath(self.location), below)
        if os.path.realpath(folder) != os.path.normpath(straight):
            raise SuspiciousFileOperation(f"{name} leads elsewhere by a link.")
        return path

    def _open(self, name: str, mode: str = "rb") -> File:
        handle = os.open(self.path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return File(os.fdopen(handle, mode), name)

    def _save(self, name: str, content: Any) -> str:
        if not isinstance(content, Draft):
            return self._save_copy(name, content)
        path = self.path(name)
        self._make_folders(Path(path).parent)
        os.replace(content.temporary_file_path(), path)
        sync_folder(Path(path).parent)
        return name

    def _save_copy(self, name: str, content: File) -> str:
        with new_draft() as draft:
            for chunk in content.chunks():
                draft.write(chunk)
            draft.flush()
            os.fsync(draft.fileno())
            return self._save(name, draft)

    def _make_folders(self, folder: Path) -> None:
        """Make what is missing, from the top, each of them durable in its parent."""
        if folder.is_dir():
            return
        self._make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """A rename survives a power cut only when its folder is on disk as well."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

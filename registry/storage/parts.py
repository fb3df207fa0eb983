"""Parts of a file that arrive one by one, in any order, until somebody joins them.

They lie among the drafts, a folder for each upload; each has its digest in its name,
so a part that is sent twice never changes under whoever reads it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple
from uuid import UUID

from mlops.errors import InvalidInput
from mlops.streams import Upload
from registry.storage.blobs import write_draft
from registry.storage.drafts import drafts_folder, new_draft, telling_when_full
from registry.storage.folder import sync_folder


class Part(NamedTuple):
    number: int
    sha256: str
    size_bytes: int


def put_part(upload: UUID, number: int, body: Upload, *, max_bytes: int) -> Part:
    """Store all of the body, in constant memory; on disk when it returns.

    Raises TooLarge, InvalidInput or Unavailable as put_blob() does.
    """
    folder = folder_of(upload)
    with telling_when_full(), new_draft() as draft:
        stored = write_draft(draft, body.source, max_bytes)
        stored.check(body.size_bytes, body.sha256)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = Part(number, stored.sha256, stored.size_bytes)
        os.replace(draft.temporary_file_path(), path_of(upload, part))
        sync_folder(folder)
    return part


def folder_of(upload: UUID) -> Path:
    return (drafts_folder() or Path(gettempdir())) / f"{upload}.parts"


def path_of(upload: UUID, part: Part) -> Path:
    return folder_of(upload) / f"{part.number}-{part.sha256}"


class JoinedParts:
    """The parts one behind the other, as one source that is read once.

    Raises InvalidInput when a part is no longer what it was.
    """

    def __init__(self, upload: UUID, parts: Sequence[Part]) -> None:
        self._upload = upload
        self._left = list(reversed(parts))
        self._part: Part | None = None
        self._file: int | None = None
        self._digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        while True:
            if self._file is None and not self._next():
                return b""
            assert self._file is not None
            if chunk := os.read(self._file, size):
                self._digest.update(chunk)
                return chunk
            self._check()

    def _next(self) -> bool:
        if not self._left:
            return False
        self._part = self._left.pop()
        path = path_of(self._upload, self._part)
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._lost() from None
        self._digest = hashlib.sha256()
        return True

    def _check(self) -> None:
        self.close()
        if self._part and self._digest.hexdigest() != self._part.sha256:
            raise self._lost()

    def _lost(self) -> InvalidInput:
        number = self._part.number if self._part else "?"
        return InvalidInput(f"Part {number} is no longer stored: upload it again.")

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def drop_parts(upload: UUID) -> None:
    shutil.rmtree(folder_of(upload), ignore_errors=True)


def sweep_parts(older_than: timedelta) -> int:
    """Remove the parts of uploads to which nothing has come for so long."""
    before, removed = time.time() - older_than.total_seconds(), 0
    for folder in (drafts_folder() or Path(gettempdir())).glob("*.parts"):
        try:
            if folder.stat().st_mtime < before:
                shutil.rmtree(folder)
                removed += 1
        except FileNotFoundError:
            pass  # just joined
    return removed

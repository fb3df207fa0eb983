"""The store that is a folder of this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.storage import FileSystemStorage

from registry.storage.drafts import Draft, new_draft


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

"""Files that are still being written: gone, or taken by a store, in the end."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.core.files import File
from django.core.files.storage import storages

from mlops.errors import Unavailable

logger = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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
    """Where our own stores have theirs; (None) the system's for any other store."""
    return getattr(storages["blobs"], "drafts", None)


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

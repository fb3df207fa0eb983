"""Zip archives that are sent while they are made: no file of their own, no whole in
memory.

Files are stored as they are, not deflated: models and images are packed already, and
the sender's processor is the scarcer good. The directory at the end of an archive names
each file, so memory grows by some hundred bytes with each of them and by nothing else.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# Before this no zip can tell the time.
FIRST_MOMENT = datetime(1980, 1, 1, tzinfo=UTC)
PLAIN_FILE = 0o100644 << 16
UNIX = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive; `read()` is asked for its bytes when its turn has come."""

    path: str
    size_bytes: int
    moment: datetime
    read: Callable[[], Iterable[bytes]]


class Outbox:
    """What the archive has written since it was asked the last time."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self.pieces = b"".join(self.pieces), []
        return taken


def zipped(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the archive piece by piece; each piece is as large as what was read.

    Whatever `read` raises breaks the archive off, so nobody takes half of it for one.
    """
    outbox: Any = Outbox()  # the little of a file that an archive asks for
    archive = zipfile.ZipFile(outbox, "w", zipfile.ZIP_STORED, allowZip64=True)
    for entry in entries:
        pieces = iter(entry.read())
        try:
            with archive.open(head_of(entry), "w") as file:
                for piece in pieces:
                    file.write(piece)
                    yield outbox.take()
        finally:
            if close := getattr(pieces, "close", None):
                close()
    archive.close()
    yield outbox.take()


def head_of(entry: Entry) -> zipfile.ZipInfo:
    moment = max(entry.moment.astimezone(UTC), FIRST_MOMENT)
    date = (moment.year, moment.month, moment.day)
    time_of_day = (moment.hour, moment.minute, moment.second)
    head = zipfile.ZipInfo(entry.path, (*date, *time_of_day))
    # Known beforehand, it decides whether the file needs the large form of zip64.
    head.file_size = entry.size_bytes
    head.external_attr = PLAIN_FILE
    head.create_system = UNIX
    return head

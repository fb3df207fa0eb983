from __future__ import annotations

import io
import stat
import tracemalloc
import zipfile
from datetime import UTC, datetime

import pytest

from mlops.archives import Entry, zipped

NOON = datetime(2026, 5, 4, 12, 30, 8, tzinfo=UTC)


def entry(path: str, *pieces: bytes, moment: datetime = NOON) -> Entry:
    return Entry(path, sum(map(len, pieces)), moment, lambda: iter(pieces))


def opened(*entries: Entry) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(zipped(entries))))


def test_an_archive_holds_every_file_under_its_path():
    archive = opened(entry("a/b.txt", b"one", b"two"), entry("größe 模.bin", b""))
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == {
        "a/b.txt": b"onetwo",
        "größe 模.bin": b"",
    }


def test_an_archive_of_nothing_is_an_archive():
    assert opened().namelist() == []


def test_files_are_plain_and_as_old_as_they_are():
    (head,) = opened(entry("a", b"x")).infolist()
    assert head.date_time == (2026, 5, 4, 12, 30, 8)
    assert stat.S_ISREG(head.external_attr >> 16)
    assert head.compress_type == zipfile.ZIP_STORED


def test_a_file_from_before_1980_gets_the_first_moment_of_zip():
    (head,) = opened(
        entry("a", b"x", moment=datetime(1970, 1, 1, tzinfo=UTC))
    ).infolist()
    assert head.date_time == (1980, 1, 1, 0, 0, 0)


def test_an_archive_is_made_as_it_is_read():
    asked = []

    def read(name: str):
        asked.append(name)
        yield name.encode()

    entries = [Entry(name, 1, NOON, lambda name=name: read(name)) for name in "abc"]
    pieces = zipped(entries)
    next(pieces)
    assert asked == ["a"]
    assert len(list(pieces)) == 3
    assert asked == ["a", "b", "c"]


def test_an_archive_takes_no_more_memory_than_a_piece():
    piece = b"x" * 256 * 1024

    def read():
        for _ in range(256):
            yield piece

    tracemalloc.start()
    size = sum(map(len, zipped([Entry("a", len(piece) * 256, NOON, read)])))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > len(piece) * 256
    assert peak < 4 * len(piece)


def test_a_file_beyond_four_gigabytes_is_announced_in_the_large_form():
    entries = [Entry("a", 5 * 1024**3, NOON, lambda: iter([b"x"]))]
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped(entries))))
    # Field 1 of the head is zip64's; without it the sizes have 32 bits.
    assert next(zipped(entries))[30 + 1 :][:2] == b"\x01\x00"
    assert archive.read("a") == b"x"


def test_a_file_that_breaks_off_breaks_the_archive_and_is_closed():
    closed = []

    class Broken:
        def __iter__(self):
            return self

        def __next__(self):
            raise OSError("gone")

        def close(self):
            closed.append(True)

    with pytest.raises(OSError, match="gone"):
        list(zipped([Entry("a", 1, NOON, Broken)]))
    assert closed == [True]

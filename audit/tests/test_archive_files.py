"""Files of archives, in a folder and in a bucket."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from audit import archive_files
from mlops.settings import archive_store
from tests.bucket import KEYS, REGION, Bucket, running_bucket

LINES = [b'{"n": 1}\n{"n": 2}\n', b'{"n": "\xc3\xa9"}\n']


@pytest.fixture(scope="module")
def server():
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture(params=["folder", "bucket"])
def stored_in(request, settings, monkeypatch, tmp_path) -> str:
    address = str(tmp_path / "archive")
    if request.param == "bucket":
        bucket: Bucket = request.getfixturevalue("server")
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("S3_ENDPOINT_URL", bucket.endpoint_url)
        monkeypatch.setenv("S3_REGION", REGION)
        bucket.empty()
        address = f"s3://{bucket.name}/platform/audit"
    stores = {**settings.STORAGES, "audit_archive": archive_store(address)}
    settings.STORAGES = stores
    return request.param


def stored(tmp_path: Path, folder: str = "2026-01-x") -> archive_files.Packed:
    packed = archive_files.pack(tmp_path / "entries.jsonl.gz", LINES)
    archive_files.put(folder, tmp_path / packed.name)
    return packed


def test_what_was_stored_is_read_again_as_it_was(stored_in, tmp_path):
    packed = stored(tmp_path)
    assert packed.lines == 3
    assert archive_files.read_again("2026-01-x", packed.name) == packed
    with archive_files.opened("2026-01-x", packed.name) as file:
        assert b"".join(archive_files.lines_of(file)) == b"".join(LINES)


def test_a_manifest_is_read_again_as_it_was(stored_in):
    digest = archive_files.put_manifest("2026-01-x", {"month": "2026-01", "é": 1})
    told, again = archive_files.read_manifest("2026-01-x")
    assert (told, again) == ({"month": "2026-01", "é": 1}, digest)


def test_nothing_that_is_there_is_written_over(stored_in, tmp_path):
    stored(tmp_path)
    with pytest.raises(FileExistsError):
        stored(tmp_path)


def test_what_is_not_there_is_an_error_of_files(stored_in):
    with pytest.raises(OSError):
        archive_files.read_manifest("2026-02-x")
    with pytest.raises(OSError):
        archive_files.read_again("2026-02-x", "entries.jsonl.gz")


def test_equal_lines_make_equal_files(tmp_path):
    one = archive_files.pack(tmp_path / "one", LINES)
    two = archive_files.pack(tmp_path / "two", [b"".join(LINES)])
    assert (one.sha256, one.lines_sha256) == (two.sha256, two.lines_sha256)


def test_bytes_behind_the_end_are_noticed(stored_in, tmp_path):
    packed = archive_files.pack(tmp_path / "entries.jsonl.gz", LINES)
    path = tmp_path / packed.name
    path.write_bytes(path.read_bytes() + b"\0")
    archive_files.put("2026-03-x", path)
    assert archive_files.read_again("2026-03-x", packed.name) != packed


def test_lines_are_unpacked_one_at_a_time(tmp_path):
    path = tmp_path / "entries.jsonl.gz"
    archive_files.pack(path, LINES)
    lines = archive_files.lines_of(io.BytesIO(path.read_bytes()))
    assert next(lines) == b'{"n": 1}\n'


@pytest.mark.parametrize("address", ["http://host/x", "s3://", "s3://bucket/x?y=1"])
def test_an_address_that_is_none_is_refused_at_the_start(address):
    with pytest.raises(ImproperlyConfigured, match="AUDIT_ARCHIVE"):
        archive_store(address)

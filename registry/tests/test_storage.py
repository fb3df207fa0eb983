from __future__ import annotations

import errno
import hashlib
import io
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InvalidInput, NotFound, TooLarge, Unavailable
from registry import jobs
from registry.storage import (
    CHUNK_BYTES,
    ArtifactKey,
    BlobFolder,
    BlobStream,
    DamagedBlob,
    StoredBlob,
    blob_name,
    has_blob,
    open_blob,
    put_blob,
    sweep_drafts,
)

# Refused by every mount that takes a path; test_mlflow_artifacts.py sends them.
HOSTILE_PATHS = [
    "",
    ".",
    "..",
    "...",
    " ",
    "./.",
    ".//",
    "/",
    "//",
    "../x",
    "../../etc/passwd",
    "a/../b",
    "a/..",
    "a/./b",
    "a//b",
    "a/",
    "a/b/..",
    "a/ /b",
    "/etc/passwd",
    "//etc/passwd",
    "///proc/self/root",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "file:x",
    "/file://../x",
    "s3://bucket/key",
    "http://127.0.0.1/x",
    "C:/x",
    "c:x",
    "C:\\x",
    "\\\\host\\share",
    "..\\..\\windows\\win.ini",
    "a\\b",
    "%2e",
    "%2e%2e",
    "%2e%2e/x",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%252e%252e%252fx",
    "%25252e%25252e%25252fx",
    "%2525252525252e%2525252525252e/x",
    "a/%2e%2e/b",
    "a%2f..%2fb",
    "a%5cb",
    "%2fetc%2fpasswd",
    "a%00.png",
    "a\x00.png",
    "a\r\nX-Evil: y",
    "a\n",
    "a%0d%0aX-Evil: y",
    "a\x7f",
    "a\x1b[31m",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "a\ud800b",
    "a;../../etc",
    "a#/../x",
    "a?/../x",
    "a;..%2f..%2fetc",
    "%c0%ae%c0%ae/x",
    "%c0%af",
    "\ufffd\ufffd/x",
    "．．／x",
    "a/．．/b",
    "‥/x",
    "․․/x",
    "／etc／passwd",
    "a＼b",
    "%EF%BC%8E%EF%BC%8E/x",
    "x" * 1025,
    "é" * 513,
    "/".join(["a"] * 101),
    "/".join(["a" * 40] * 100),
]
# Looks odd, harms nobody: kept as it is, letter for letter.
ODD_PATHS = [
    "model/MLmodel",
    "a b.txt",
    ".hidden",
    "..data",
    "a..b",
    "a.",
    "100%.txt",
    "50%25.txt",
    "a%20b",
    "a;b=c",
    "a#b",
    "a?b=c",
    "a&b",
    "C++/x",
    "metrics:train.json",
    "~/x",
    "-rf",
    'say "hi".txt',
    "it's.txt",
    "naïve.txt",
    "nai\u0308ve.txt",
    "日本語/ファイル.txt",
    "1／2.txt",
    "😀.png",
    "\u202egnp.exe",
    ";filename=evil.html",
    "artifacts/artifacts",
    "x" * 1024,
    "/".join(["a"] * 100),
]


@pytest.mark.parametrize("text", HOSTILE_PATHS)
def test_a_key_is_refused_when_it_could_lead_astray(text):
    with pytest.raises(InvalidInput, match=r"^Invalid path$"):
        ArtifactKey(text)


@pytest.mark.parametrize("text", ODD_PATHS)
def test_a_key_is_kept_as_it_is_when_it_is_only_odd(text):
    assert ArtifactKey(text).path == text


@given(st.text(max_size=40) | st.lists(st.sampled_from(list("./%2e\\a:"))).map("".join))
def test_an_accepted_key_stays_below_any_folder(text):
    try:
        key = ArtifactKey(text)
    except InvalidInput:
        return
    joined = os.path.normpath(os.path.join("/root", key.path))
    assert joined == f"/root/{key.path}"


def test_a_key_knows_its_name_and_its_folders():
    key = ArtifactKey("a/b/c.txt")
    assert (key.name, key.folders) == ("c.txt", ["a", "a/b"])
    assert ArtifactKey("c.txt").folders == []


# Blobs

ORGANIZATION = UUID("0192f000-0000-7000-8000-000000000001")


pytestmark = pytest.mark.usefixtures("db", "store")  # damage is written to the trail


def put(content: bytes, **more) -> StoredBlob:
    return put_blob(ORGANIZATION, io.BytesIO(content), **{"max_bytes": 1 << 30} | more)


def files_in(store: BlobFolder) -> list[Path]:
    root = Path(store.location)
    return sorted(p.relative_to(root) for p in root.rglob("*") if not p.is_dir())


def path_of(store: BlobFolder, blob: StoredBlob) -> Path:
    return Path(store.location) / blob_name(ORGANIZATION, blob.sha256)


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]
)
def test_bytes_come_back_as_they_were_put(store, size):
    content = os.urandom(size)
    blob = put(content)
    assert blob == StoredBlob(hashlib.sha256(content).hexdigest(), size)
    with open_blob(ORGANIZATION, blob) as file:
        assert file.read() == content
    assert has_blob(ORGANIZATION, blob.sha256)


def test_a_blob_is_named_by_organization_and_digest_alone(store):
    blob = put(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert files_in(store) == [Path(str(ORGANIZATION)) / digest[:2] / digest[2:]]
    assert len(digest[2:]) == 62
    assert not has_blob(uuid4(), blob.sha256)


def test_files_and_folders_are_for_the_server_alone(store):
    path = path_of(store, put(b"abc"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent, store.drafts):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_same_bytes_are_stored_once_and_mend_a_damaged_blob(store):
    blob = put(b"abc")
    path_of(store, blob).write_bytes(b"xyz")
    assert put(b"abc") == blob
    assert len(files_in(store)) == 1
    assert path_of(store, blob).read_bytes() == b"abc"


def test_a_reader_keeps_its_bytes_while_the_same_blob_is_put_again(store):
    blob = put(b"abc" * 1000)
    with open_blob(ORGANIZATION, blob) as file:
        assert file.read(3) == b"abc"
        put(b"abc" * 1000)
        assert file.read() == b"abc" * 999


@pytest.mark.parametrize(
    "more,error",
    [
        ({"max_bytes": 5}, TooLarge),
        ({"expected_bytes": 7}, InvalidInput),
        ({"expected_bytes": 5}, InvalidInput),
        ({"expected_sha256": "0" * 64}, InvalidInput),
    ],
)
def test_nothing_is_left_when_the_bytes_are_not_as_announced(store, more, error):
    with pytest.raises(error):
        put(b"abcdef", **more)
    assert files_in(store) == []


def test_nothing_is_left_when_the_sender_breaks_off(store):
    class Broken:
        def read(self, size):
            if hasattr(self, "once"):
                raise ConnectionResetError
            self.once = True
            return b"x" * size

    with pytest.raises(ConnectionResetError):
        put_blob(ORGANIZATION, Broken(), max_bytes=1 << 30)
    assert files_in(store) == []


def test_the_limit_is_met_before_the_whole_body_is_read(store):
    class Endless:
        read_bytes = 0

        def read(self, size):
            self.read_bytes += size
            return b"x" * size

    source = Endless()
    with pytest.raises(TooLarge, match="at most 1000000 bytes"):
        put_blob(ORGANIZATION, source, max_bytes=1_000_000)
    assert source.read_bytes < 1_000_000 + 2 * CHUNK_BYTES


def test_a_full_disk_is_told_as_such_and_leaves_nothing(store):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Unavailable, match="store of this server is full"):
            put(b"x" * 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(store) == []


def test_file_and_folder_are_on_disk_before_the_blob_is_reported(store, monkeypatch):
    drafts, synced = str(store.drafts), []
    fsync = os.fsync

    def remember(handle):
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", remember)
    path = path_of(store, put(b"abc"))
    assert synced[0].startswith(drafts)
    assert synced[-1] == str(path.parent)
    assert {str(path.parent.parent), store.location} <= set(synced)


def test_many_may_put_the_same_bytes_at_once(store):
    content, blobs = os.urandom(500_000), []
    threads = [
        threading.Thread(target=lambda: blobs.append(put(content))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(blobs) == 8
    assert len(set(blobs)) == 1
    assert [path.name for path in files_in(store)] == [blobs[0].sha256[2:]]


def test_a_large_body_takes_no_memory(store, tmp_path):
    """In a process of its own: 200 MB pass through, 20 MB are allowed."""
    program = """
import os, resource, sys, uuid
import django
from django.conf import settings
settings.configure(STORAGES={"blobs": {"BACKEND": "registry.storage.BlobFolder",
    "OPTIONS": {"location": sys.argv[1]}}})
from registry.storage import BlobStream, open_blob, put_blob

class Zeros:
    left = 200_000_000
    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return bytes(size)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

organization = uuid.uuid4()
before = peak()
blob = put_blob(organization, Zeros(), max_bytes=1 << 30)
stream = BlobStream(open_blob(organization, blob), start=0,
                    length=blob.size_bytes, sha256=blob.sha256)
sent = sum(len(chunk) for chunk in stream)
assert sent == blob.size_bytes == 200_000_000
assert peak() - before < 20_000, peak() - before
"""
    command = [sys.executable, "-c", program, str(tmp_path / "large")]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


# What somebody with access to the disk may have planted


def test_a_planted_link_is_no_blob(store, tmp_path, caplog):
    blob = put(b"secret")
    secret = tmp_path / "secret"
    path_of(store, blob).rename(secret)
    path_of(store, blob).symlink_to(secret)
    with pytest.raises(NotFound):
        open_blob(ORGANIZATION, blob)
    assert "is missing" in caplog.text


def test_a_folder_that_is_a_link_leads_nowhere(store, tmp_path):
    blob = put(b"secret")
    stranger = uuid4()
    root = Path(store.location)
    (root / str(stranger)).symlink_to(root / str(ORGANIZATION))
    with pytest.raises(NotFound):
        open_blob(stranger, blob)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outsider = uuid4()
    (root / str(outsider)).symlink_to(elsewhere)
    with pytest.raises(Exception, match="leads elsewhere"):
        put_blob(outsider, io.BytesIO(b"abc"), max_bytes=10)
    assert list(elsewhere.iterdir()) == []


def test_a_store_that_is_itself_reached_by_a_link_works(tmp_path, settings):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    location = {"location": str(tmp_path / "link" / "blobs")}
    blobs = {"BACKEND": "registry.storage.BlobFolder", "OPTIONS": location}
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    blob = put(b"abc")
    with open_blob(ORGANIZATION, blob) as file:
        assert file.read() == b"abc"


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"ab")])
def test_missing_or_short_bytes_are_never_silent(store, caplog, harm):
    blob = put(b"abc")
    harm(path_of(store, blob))
    with pytest.raises(NotFound):
        open_blob(ORGANIZATION, blob)
    assert blob.sha256[2:] in caplog.text


# Streams


def stream(blob: StoredBlob, start: int = 0, length: int | None = None) -> BlobStream:
    length = blob.size_bytes if length is None else length
    file = open_blob(ORGANIZATION, blob)
    return BlobStream(file, start=start, length=length, sha256=blob.sha256)


def test_a_range_is_sent_and_nothing_beside_it(store):
    content = os.urandom(3 * CHUNK_BYTES)
    blob = put(content)
    for start, length in [(0, 1), (5, CHUNK_BYTES), (len(content) - 1, 1), (7, 0)]:
        sent = b"".join(stream(blob, start, length))
        assert sent == content[start : start + length]


def test_the_last_piece_of_a_damaged_blob_is_withheld(store, caplog):
    content = os.urandom(2 * CHUNK_BYTES + 1)
    blob = put(content)
    path_of(store, blob).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    sent = []
    with pytest.raises(DamagedBlob):
        sent.extend(stream(blob))
    assert b"".join(sent) == content[: 2 * CHUNK_BYTES]
    assert f"blob {blob.sha256} is damaged" in caplog.text


def test_a_blob_that_shrinks_while_it_is_sent_breaks_the_stream(store):
    blob = put(b"x" * (2 * CHUNK_BYTES))
    pieces = stream(blob, 0, 2 * CHUNK_BYTES)
    next(pieces)
    os.truncate(path_of(store, blob), CHUNK_BYTES)
    with pytest.raises(DamagedBlob):
        next(pieces)


def test_a_closed_stream_holds_no_file(store):
    pieces = stream(put(b"abc"))
    pieces.close()
    assert pieces.file.closed


# Drafts, and other backends


def test_old_drafts_are_swept_and_young_ones_spared(store):
    old, young = store.drafts / "old.draft", store.drafts / "young.draft"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    hour_ago = time.time() - 3600
    os.utime(old, (hour_ago, hour_ago))
    assert sweep_drafts(older_than=timedelta(minutes=10)) == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_the_worker_sweeps_drafts(store):
    old = store.drafts / "old.draft"
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    jobs.sweep_drafts(timestamp=0)
    assert not old.exists()


def test_a_killed_writer_leaves_a_draft_and_no_blob(store, tmp_path):
    program = """
import os, signal, sys, uuid
from django.conf import settings
settings.configure(STORAGES={"blobs": {"BACKEND": "registry.storage.BlobFolder",
    "OPTIONS": {"location": sys.argv[1]}}})
from registry.storage import put_blob

class Killer:
    pieces = 3
    def read(self, size):
        self.pieces -= 1
        if not self.pieces:
            os.kill(os.getpid(), signal.SIGKILL)
        return bytes(size)

put_blob(uuid.uuid4(), Killer(), max_bytes=1 << 30)
"""
    command = [sys.executable, "-c", program, store.location]
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert killed.returncode == -9
    assert [path.parent.name for path in files_in(store)] == ["drafts"]
    assert sweep_drafts(older_than=timedelta(0)) == 1
    assert files_in(store) == []


def test_any_file_may_be_saved_through_django_s_storage_api(store):
    name = blob_name(ORGANIZATION, hashlib.sha256(b"abc").hexdigest())
    assert store.save(name, ContentFile(b"abc")) == name
    assert store.save(name, ContentFile(b"abc")) == name
    assert [str(path) for path in files_in(store)] == [name]
    with store.open(name) as file:
        assert file.read() == b"abc"


def test_another_backend_of_django_serves_as_well(settings, tmp_path):
    blobs = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path / "plain"), "allow_overwrite": True},
    }
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    assert type(storages["blobs"]) is FileSystemStorage
    blob = put(b"abc")
    assert put(b"abc") == blob
    with open_blob(ORGANIZATION, blob) as file:
        assert file.read() == b"abc"
    assert sweep_drafts() == 0


def test_other_errors_of_the_disk_are_not_called_full(store, monkeypatch):
    def refuse(*args):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="broken"):
        put(b"abc")
    assert files_in(store) == []

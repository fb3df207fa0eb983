"""Blobs in a bucket: as in a folder, against a server that speaks S3."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from mlops.errors import InvalidInput, NotFound, TooLarge, Unavailable
from mlops.settings import blob_store
from mlops.streams import digest_header
from registry import jobs
from registry.models import MultipartUpload, PackageFile
from registry.storage import (
    CHUNK_BYTES,
    BlobStream,
    DamagedBlob,
    StoredBlob,
    blob_name,
    has_blob,
    open_blob,
    put_blob,
    sweep_drafts,
)
from registry.storage.bucket import PATIENT
from registry.tests.factories import RunFactory
from registry.tests.test_mlflow_artifacts import root_of, url_of
from tests.bucket import Bucket, free_port, running_bucket

ORGANIZATION = UUID("0198c5a0-0000-7000-8000-000000000001")
PROXY = "/api/2.0/mlflow-artifacts"
JSON = {"content_type": "application/json"}
PART = 5 * 1024**2  # the least of all parts but the last


@pytest.fixture(scope="module")
def server():
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(server: Bucket, settings, tmp_path) -> Bucket:
    server.empty()
    blobs = server.store(str(tmp_path / "drafts"))
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    return server


def put(content: bytes, **more) -> StoredBlob:
    return put_blob(ORGANIZATION, io.BytesIO(content), **{"max_bytes": 1 << 30} | more)


def read(blob: StoredBlob, start: int = 0, length: int | None = None) -> bytes:
    length = blob.size_bytes - start if length is None else length
    file = open_blob(ORGANIZATION, blob)
    return b"".join(BlobStream(file, start=start, length=length, sha256=blob.sha256))


def no_drafts(path: Path) -> bool:
    return not list(path.glob("drafts/*"))


# As in a folder


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
def test_bytes_come_back_as_they_were_put(bucket, tmp_path, size):
    content = os.urandom(size)
    blob = put(content)
    assert blob == StoredBlob(hashlib.sha256(content).hexdigest(), size)
    assert has_blob(ORGANIZATION, blob.sha256)
    assert not has_blob(uuid4(), blob.sha256)
    assert read(blob) == content
    assert bucket.keys() == [f"platform/blobs/{blob_name(ORGANIZATION, blob.sha256)}"]
    assert no_drafts(tmp_path)


def test_a_range_is_sent_and_nothing_beside_it(bucket):
    content = os.urandom(3 * CHUNK_BYTES)
    blob = put(content)
    assert read(blob, 5, 10) == content[5:15]
    assert read(blob, CHUNK_BYTES, CHUNK_BYTES) == content[CHUNK_BYTES:][:CHUNK_BYTES]
    assert read(blob, len(content) - 1) == content[-1:]


def test_an_object_can_be_sought_and_told(bucket):
    blob = put(b"0123456789")
    with open_blob(ORGANIZATION, blob) as file:
        assert (file.read(2), file.tell()) == (b"01", 2)
        assert (file.seek(-3, 2), file.read()) == (7, b"789")
        assert file.read() == b""
    assert file.closed


@pytest.mark.parametrize(
    "more,error",
    [
        ({"max_bytes": 2}, TooLarge),
        ({"expected_bytes": 4}, InvalidInput),
        ({"expected_sha256": "0" * 64}, InvalidInput),
    ],
)
def test_nothing_is_left_when_the_bytes_are_not_as_announced(
    bucket, tmp_path, more, error
):
    with pytest.raises(error):
        put(b"abc", **more)
    assert bucket.keys() == []
    assert no_drafts(tmp_path)


class Breaking:
    """A sender that goes away after a while."""

    left = 3

    def read(self, size: int) -> bytes:
        self.left -= 1
        if not self.left:
            raise ConnectionResetError
        return bytes(size)


def test_nothing_is_there_before_it_is_whole(bucket, tmp_path):
    with pytest.raises(ConnectionResetError):
        put_blob(ORGANIZATION, Breaking(), max_bytes=1 << 30)
    assert bucket.keys() == []
    assert no_drafts(tmp_path)


def test_missing_bytes_are_never_silent(db, bucket, caplog):
    blob = put(b"abc")
    bucket.empty()
    with pytest.raises(NotFound):
        open_blob(ORGANIZATION, blob)
    assert "is missing" in caplog.text


def test_short_bytes_are_never_silent(db, bucket, caplog):
    blob = put(b"abc")
    (key,) = bucket.keys()
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"ab")
    with pytest.raises(NotFound):
        open_blob(ORGANIZATION, blob)
    assert "has 2 bytes, not 3" in caplog.text


def test_the_last_piece_of_a_damaged_blob_is_withheld_and_mended_by_the_next(
    db, bucket
):
    content = os.urandom(2 * CHUNK_BYTES)
    blob = put(content)
    (key,) = bucket.keys()
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=bytes(len(content)))
    with pytest.raises(DamagedBlob):
        read(blob)
    put(content)
    assert read(blob) == content


def test_the_bucket_itself_refuses_bytes_that_are_not_what_their_name_says(bucket):
    """The digest goes along; a server that looks at it keeps nothing else."""
    store = storages["blobs"]
    seen = []

    def look(params, **more):
        seen.append(params)

    store.client.meta.events.register("before-call.s3.PutObject", look)
    content = b"abc"
    name = blob_name(ORGANIZATION, hashlib.sha256(content).hexdigest())
    store.save(name, ContentFile(content))
    store.client.meta.events.unregister("before-call.s3.PutObject", look)
    (asked,) = seen
    assert asked["headers"]["x-amz-checksum-sha256"] == (
        "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
    )


def test_a_store_that_does_not_answer_is_told_as_such(
    settings, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(PATIENT, "retries", {"max_attempts": 1, "mode": "standard"})
    nobody = Bucket(f"http://127.0.0.1:{free_port()}", "blobs")
    blobs = nobody.store(str(tmp_path / "drafts"))
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    with pytest.raises(Unavailable, match="does not answer"):
        put(b"abc")
    assert "the bucket refuses or does not answer" in caplog.text
    assert no_drafts(tmp_path)


def test_a_bucket_that_refuses_is_told_as_such(server, settings, tmp_path):
    nowhere = Bucket(server.endpoint_url, "no-such-bucket")
    blobs = nowhere.store(str(tmp_path / "drafts"))
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    with pytest.raises((Unavailable, FileNotFoundError)):
        put(b"abc")


def test_what_lies_in_the_bucket_is_listed_and_dated(bucket):
    store, before = storages["blobs"], datetime.now(UTC) - timedelta(minutes=1)
    name = blob_name(ORGANIZATION, put(b"abc").sha256)
    folder, _, file = name.rpartition("/")
    assert store.listdir(folder) == ([], [file])
    assert store.listdir(str(ORGANIZATION)) == ([folder[-2:]], [])
    assert store.get_modified_time(name) > before
    store.delete(name)
    store.delete(name)
    assert not store.exists(name)
    with pytest.raises(FileNotFoundError):
        store.get_modified_time(name)


def test_drafts_of_killed_writers_are_swept(bucket, tmp_path):
    old = storages["blobs"].drafts / "old.draft"
    old.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert sweep_drafts() == 1
    assert no_drafts(tmp_path)


def test_many_may_put_and_read_at_once(bucket):
    contents = [os.urandom(CHUNK_BYTES + number) for number in range(8)]
    wrong = []

    def work(content: bytes) -> None:
        if read(put(content)) != content:
            wrong.append(content)

    threads = [threading.Thread(target=work, args=(each,)) for each in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, len(bucket.keys())) == ([], 8)


def test_a_folder_needs_no_boto3():
    program = """
import django, sys
django.setup()
from django.core.files.storage import storages
storages["blobs"]
from mlops.wsgi import application
print([name for name in sys.modules if name.split(".")[0] in ("boto3", "botocore")])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip().splitlines()[-1] == "[]"


# The setting


def test_the_setting_names_bucket_and_prefix(monkeypatch):
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://minio:9000")
    monkeypatch.setenv("S3_SIGNED_URLS", "0")
    store = blob_store("s3://models/a/b/")
    assert store["BACKEND"] == "registry.storage.bucket.BlobBucket"
    options = store["OPTIONS"]
    assert (options["bucket_name"], options["location"]) == ("models", "a/b")
    assert (options["endpoint_url"], options["presigns"]) == (
        "http://minio:9000",
        False,
    )
    assert blob_store("")["BACKEND"] == "registry.storage.BlobFolder"


@pytest.mark.parametrize("text", ["models", "s3:/models", "gs://models", "s3://b?x=1"])
def test_a_setting_that_names_no_bucket_is_refused(text):
    with pytest.raises(ImproperlyConfigured, match="s3://bucket/prefix"):
        blob_store(text)


# Straight to the bucket and from it


@pytest.fixture
def run(cast):
    return RunFactory(experiment__project=cast.fraud)


def begun(client, run, parts: int) -> dict:
    body = {"path": "/tmp/model.bin", "num_parts": parts}
    answer = client.post(f"{PROXY}/mpu/create/{root_of(run)}", body, **JSON)
    assert answer.status_code == 200, answer.content
    return answer.json()


def sent(made: dict, contents: list[bytes]) -> list[dict]:
    """As MLflow's client does, with nothing but the addresses."""
    parts = []
    for credential, content in zip(made["credentials"], contents, strict=True):
        answer = requests.put(credential["url"], data=content, timeout=30)
        answer.raise_for_status()
        number = credential["part_number"]
        parts.append({"part_number": number, "etag": answer.headers["ETag"]})
    return parts


def finish(client, run, made: dict, parts, verb: str = "complete"):
    body = {"path": "/tmp/model.bin", "upload_id": made["upload_id"], "parts": parts}
    return client.post(f"{PROXY}/mpu/{verb}/{root_of(run)}", body, **JSON)


def test_parts_go_straight_to_the_bucket(alice_in_fraud, bucket, run):
    contents = [os.urandom(PART), os.urandom(PART), b"end"]
    made = begun(alice_in_fraud, run, 3)
    urls = [each["url"] for each in made["credentials"]]
    assert all(url.startswith(bucket.endpoint_url) for url in urls)
    assert parse_qs(urlsplit(urls[0]).query)["X-Amz-Expires"] == ["900"]
    parts = sent(made, contents)
    assert not PackageFile._base_manager.exists()
    answer = finish(alice_in_fraud, run, made, parts)
    assert (answer.status_code, answer.content) == (200, b"{}")
    whole = b"".join(contents)
    answer = alice_in_fraud.get(url_of(run, "model.bin"))
    assert b"".join(answer) == whole
    sha256 = hashlib.sha256(whole).hexdigest()
    assert answer["ETag"] == f'"{sha256}"'
    name = blob_name(run.organization_id, sha256)
    assert bucket.keys() == [f"platform/blobs/{name}"]
    assert bucket.open_uploads() == []
    assert finish(alice_in_fraud, run, made, parts).status_code == 200


def edited(index: int, **change):
    def edit(parts):
        return [
            {**part, **change} if index == number else part
            for number, part in enumerate(parts)
        ]

    return edit


@pytest.mark.parametrize(
    "edit,words",
    [
        (lambda parts: parts[:1], "Part 2 of 2 is missing."),
        (edited(0, part_number=0), "Part 0"),
        (edited(0, part_number=3), "Part 3"),
        (edited(1, etag='"0"'), "another ETag"),
        (lambda parts: parts[::-1], "order"),
    ],
)
def test_parts_in_the_bucket_are_joined_only_when_they_are_all_there(
    alice_in_fraud, bucket, run, edit, words
):
    made = begun(alice_in_fraud, run, 2)
    parts = sent(made, [bytes(PART), b"end"])
    answer = finish(alice_in_fraud, run, made, edit(parts))
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert not PackageFile._base_manager.exists()
    assert finish(alice_in_fraud, run, made, parts).status_code == 200


def test_a_part_that_never_reached_the_bucket_is_missing(alice_in_fraud, bucket, run):
    made = begun(alice_in_fraud, run, 2)
    etag = requests.put(made["credentials"][0]["url"], data=b"abc", timeout=30).headers
    parts = [{"part_number": n, "etag": etag["ETag"]} for n in (1, 2)]
    answer = finish(alice_in_fraud, run, made, parts)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Part 2 of 2 is missing."


def test_parts_that_are_too_small_for_a_bucket_are_refused(alice_in_fraud, bucket, run):
    made = begun(alice_in_fraud, run, 2)
    parts = sent(made, [b"a", b"b"])
    answer = finish(alice_in_fraud, run, made, parts)
    assert answer.status_code == 400
    assert "EntityTooSmall" in answer.json()["message"]


def test_a_completion_that_was_broken_off_is_taken_up_again(
    alice_in_fraud, bucket, run
):
    made = begun(alice_in_fraud, run, 1)
    parts = sent(made, [b"abc"])
    row = MultipartUpload._base_manager.get()
    store = storages["blobs"]
    store.join(row.pk, row.reference, store.parts(row.pk, row.reference))
    assert finish(alice_in_fraud, run, made, parts).status_code == 200
    assert b"".join(alice_in_fraud.get(url_of(run, "model.bin"))) == b"abc"


def test_parts_together_are_no_larger_than_a_file(
    alice_in_fraud, bucket, run, settings
):
    settings.MAX_ARTIFACT_BYTES = 5
    made = begun(alice_in_fraud, run, 1)
    assert finish(alice_in_fraud, run, made, sent(made, [b"abcdef"])).status_code == 413
    assert not PackageFile._base_manager.exists()


def test_what_was_aborted_leaves_nothing_in_the_bucket(alice_in_fraud, bucket, run):
    made = begun(alice_in_fraud, run, 1)
    sent(made, [b"abc"])
    assert finish(alice_in_fraud, run, made, [], "abort").status_code == 200
    assert (bucket.keys(), bucket.open_uploads()) == ([], [])
    assert not MultipartUpload._base_manager.exists()


def test_what_nobody_completes_is_swept_from_the_bucket(alice_in_fraud, bucket, run):
    """The server of the tests says of every open upload that it began in 2010."""
    begun(alice_in_fraud, run, 1)
    assert len(bucket.open_uploads()) == 1
    jobs.sweep_uploads(timestamp=0)
    assert bucket.open_uploads() == []


def test_what_was_joined_and_never_adopted_is_swept_when_it_is_old(bucket):
    store, upload = storages["blobs"], uuid4()
    reference = store.begin(upload)
    url = store.part_url(upload, reference, 1, seconds=60)
    requests.put(url, data=b"abc", timeout=30).raise_for_status()
    store.join(upload, reference, store.parts(upload, reference))
    assert bucket.keys() == [f"platform/blobs/uploads/{upload}"]
    assert store.sweep_staged(timedelta(hours=24)) == 0
    time.sleep(1.1)
    assert store.sweep_staged(timedelta(seconds=1)) == 1
    assert bucket.keys() == []


def test_a_download_s_address_leads_to_the_bucket(
    alice_in_fraud, bucket, run, stranger
):
    told = stranger.get("/api/3.0/mlflow/server-info").json()
    assert told["multipart_downloads_enabled"] is True
    content = b"<script>alert(1)</script>"
    alice_in_fraud.put(url_of(run, "page.html"), content, "text/html")
    answer = alice_in_fraud.get(f"{PROXY}/presigned/{root_of(run)}/page.html")
    assert answer.status_code == 200
    assert answer["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer["Repr-Digest"] == digest_header(hashlib.sha256(content).hexdigest())
    told = answer.json()
    assert (told["headers"], told["file_size"]) == ({}, len(content))
    assert parse_qs(urlsplit(told["url"]).query)["X-Amz-Expires"] == ["900"]
    got = requests.get(told["url"], headers={"Range": "bytes=1-6"}, timeout=30)
    assert (got.status_code, got.content) == (206, b"script")
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-Disposition"] == 'attachment; filename="page.html"'


def test_a_foreign_file_has_no_address(alice_in_fraud, mallory, bucket, run):
    alice_in_fraud.put(url_of(run, "a"), b"abc", "text/plain")
    url = f"/mlflow/umbrella/fraud{PROXY}/presigned/{root_of(run)}/a"
    assert mallory.get(url).status_code == 404
    missing = alice_in_fraud.get(f"{PROXY}/presigned/{root_of(run)}/b")
    assert missing.status_code == 404


def test_clients_may_be_told_another_address_of_the_bucket(bucket, settings, tmp_path):
    outside = {"public_endpoint_url": "https://files.example.org"}
    blobs = bucket.store(str(tmp_path / "drafts"), **outside)
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    url = storages["blobs"].download_url("o/aa/bb", filename="a", seconds=60)
    assert re.match(r"https://(blobs\.)?files\.example\.org/", url)
    assert read(put(b"abc")) == b"abc"


def test_without_signed_urls_parts_come_to_us(
    alice_in_fraud, bucket, settings, tmp_path, run, stranger
):
    blobs = bucket.store(str(tmp_path / "drafts"), presigns=False)
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    told = stranger.get("/api/3.0/mlflow/server-info").json()
    assert told["multipart_downloads_enabled"] is False
    made = begun(alice_in_fraud, run, 1)
    address = urlsplit(made["credentials"][0]["url"])
    assert address.netloc == "testserver"
    url = f"{address.path}?{address.query}"
    answer = stranger.put(url, b"abc", "application/octet-stream")
    parts = [{"part_number": 1, "etag": answer["ETag"]}]
    assert finish(alice_in_fraud, run, made, parts).status_code == 200
    assert b"".join(alice_in_fraud.get(url_of(run, "model.bin"))) == b"abc"

"""Case H6: what is downloaded has the digest that was stored, or it is an alarm."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.tests.trail import entries, only_entry
from registry.models import Blob
from registry.storage import BlobFolder, DamagedBlob
from registry.tests.factories import RunFactory

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT)


@pytest.fixture
def address(alice_in_fraud, cast, store) -> str:
    """Where a file of a run is, and is not yet damaged."""
    run = RunFactory(experiment__project=cast.fraud)
    place = f"{run.experiment.iid}/{run.pk.hex}/artifacts/model.bin"
    address = f"/api/2.0/mlflow-artifacts/artifacts/{place}"
    stored = alice_in_fraud.put(address, CONTENT, "application/octet-stream")
    assert stored.status_code == 200
    return address


def blob_in(store: BlobFolder) -> Path:
    folder = Path(store.location)
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def remove(path: Path) -> None:
    path.unlink()


def read(client: Any, address: str) -> bytes | int:
    """Return what a client ends up with: the bytes, or the status that refuses."""
    answer = client.get(address)
    return b"".join(answer) if answer.streaming else answer.status_code


def test_a_download_says_the_digest_that_was_stored(alice_in_fraud, address):
    for answer in (
        alice_in_fraud.get(address),
        alice_in_fraud.head(address),
        alice_in_fraud.get(address, headers={"range": "bytes=0-6"}),
    ):
        assert answer["ETag"] == f'"{SHA256.hexdigest()}"'
        digest = base64.b64encode(SHA256.digest()).decode()
        assert answer["Repr-Digest"] == f"sha-256=:{digest}:"
    assert read(alice_in_fraud, address) == CONTENT
    assert entries(action="blob.damaged") == []


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (flip, "is damaged"),
    (truncate, "has 6999 bytes, not 7000"),
    (remove, "is missing"),
]


@pytest.mark.parametrize(
    "damage,problem", DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES]
)
def test_a_damaged_blob_is_an_alarm_and_never_a_file(
    alice_in_fraud, cast, store, address, caplog, damage, problem
):
    damage(blob_in(store))
    try:
        received = read(alice_in_fraud, address)
    except DamagedBlob:  # the line is cut: less than Content-Length has come
        received = -1
    assert received in (404, -1)
    assert problem in caplog.text
    entry = only_entry(action="blob.damaged")
    assert (entry.organization_id, entry.outcome) == (cast.acme.pk, "failed")
    assert (entry.actor_kind, entry.actor_label) == ("system", "store")
    assert entry.object_id == Blob._base_manager.get().pk
    assert entry.after["sha256"] == SHA256.hexdigest()
    assert problem in entry.after["problem"]


def test_a_damaged_blob_is_recorded_once_a_minute(alice_in_fraud, store, address):
    truncate(blob_in(store))
    assert [read(alice_in_fraud, address) for _ in range(5)] == [404] * 5
    assert len(entries(action="blob.damaged")) == 1


def test_a_file_that_is_uploaded_again_mends_the_blob(alice_in_fraud, store, address):
    flip(blob_in(store))
    alice_in_fraud.put(address, CONTENT, "application/octet-stream")
    assert read(alice_in_fraud, address) == CONTENT

"""Large files: what they cost the server, and what is left when it dies meanwhile."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from mlops import processes
from tests.chaos.test_kill import is_well, web, web_server
from tests.e2e.running import Platform, Tenant

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MB = 1024**2
PATIENCE_SECONDS = 45
PIECE = MB
# How much the web processes together may grow.
MEMORY_BYTES = 64 * MB


@pytest.fixture(scope="module")
def run_id(tenant: Tenant) -> str:
    with tenant.client() as client:
        run_id: str = client.create_run("0").info.run_id
    return run_id


def url_of(tenant: Tenant, run_id: str, name: str) -> str:
    proxy = f"{tenant.base_url}/api/2.0/mlflow-artifacts/artifacts"
    return f"{proxy}/0/{run_id}/artifacts/{name}"


def head(tenant: Tenant) -> dict[str, str]:
    return {"Authorization": f"Bearer {tenant.token}"}


def listed(tenant: Tenant, run_id: str) -> dict[str, int]:
    with tenant.client() as client:
        return {
            file.path: file.file_size or 0 for file in client.list_artifacts(run_id)
        }


def pieces(seed: int, size: int) -> Iterator[bytes]:
    """The same bytes for the same seed, made as they are sent."""
    source = random.Random(seed)
    for _ in range(size // PIECE):
        yield source.randbytes(PIECE)


class Body:
    """A body of a known length that nobody holds in memory."""

    def __init__(self, seed: int, size: int) -> None:
        self.digest = hashlib.sha256()
        self._pieces = pieces(seed, size)
        self._length = size
        self._rest = b""

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = PIECE, /) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self.digest.update(piece)
            self._rest += piece
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk


# Memory


def memory_of(pids: list[int]) -> int:
    """Their proportional share of memory: what processes share counts once."""
    total = 0
    for pid in pids:
        try:
            text = (processes.PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        line = next(line for line in text.splitlines() if line.startswith("Pss:"))
        total += int(line.split()[1]) * 1024
    return total


class Watch:
    """The highest reading of the web processes' memory, taken all the while."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.before = self.highest = memory_of(pids)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._is_over.wait(0.2):
            self.highest = max(self.highest, memory_of(self.pids))

    @property
    def growth(self) -> int:
        return self.highest - self.before

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(10)


@contextmanager
def watching(platform: Platform) -> Iterator[Watch]:
    watch = Watch(list(web(platform)))
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(64 * MB, id="64 MB"),
        pytest.param(1024 * MB, id="1 GB", marks=pytest.mark.soak),
    ],
)
def test_a_large_file_goes_both_ways_in_little_memory(
    platform: Platform, tenant: Tenant, run_id: str, size: int
) -> None:
    url = url_of(tenant, run_id, f"large-{size}")
    small = requests.put(url_of(tenant, run_id, "warm"), b"x", headers=head(tenant))
    small.raise_for_status()
    body = Body(size, size)
    with watching(platform) as watch:
        begun = time.monotonic()
        requests.put(url, body, headers=head(tenant), timeout=600).raise_for_status()
        sent = time.monotonic()
        answer = requests.get(url, headers=head(tenant), stream=True, timeout=600)
        answer.raise_for_status()
        got = hashlib.sha256()
        for piece in answer.iter_content(PIECE):
            got.update(piece)
        ended = time.monotonic()
    print(
        f"{size // MB} MB: up {sent - begun:.1f} s, down {ended - sent:.1f} s,"
        f" memory {watch.before // MB} MB + {watch.growth // MB} MB"
    )
    assert got.hexdigest() == body.digest.hexdigest()
    assert answer.headers["ETag"] == f'"{got.hexdigest()}"'
    assert watch.growth < MEMORY_BYTES
    requests.delete(url, headers=head(tenant)).raise_for_status()


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(64 * MB, id="64 MB"),
        pytest.param(1024 * MB, id="1 GB", marks=pytest.mark.soak),
    ],
)
def test_a_large_file_is_joined_of_parts_in_little_memory(
    platform: Platform, tenant: Tenant, run_id: str, size: int
) -> None:
    part_bytes = 16 * MB
    count = size // part_bytes
    proxy = f"{tenant.base_url}/api/2.0/mlflow-artifacts"
    name = f"parts-{size}"
    at = f"0/{run_id}/artifacts"
    whole = hashlib.sha256()
    with watching(platform) as watch:
        made = requests.post(
            f"{proxy}/mpu/create/{at}",
            json={"path": name, "num_parts": count},
            headers=head(tenant),
        ).json()
        parts = []
        for credential in made["credentials"]:
            number = credential["part_number"]
            body = Body(number, part_bytes)
            answer = requests.put(credential["url"], body, timeout=120)
            answer.raise_for_status()
            parts.append({"part_number": number, "etag": answer.headers["ETag"]})
            for piece in pieces(number, part_bytes):
                whole.update(piece)
        requests.post(
            f"{proxy}/mpu/complete/{at}",
            json={"path": name, "upload_id": made["upload_id"], "parts": parts},
            headers=head(tenant),
            timeout=600,
        ).raise_for_status()
    url = url_of(tenant, run_id, name)
    answer = requests.head(url, headers=head(tenant))
    assert answer.headers["ETag"] == f'"{whole.hexdigest()}"'
    assert answer.headers["Content-Length"] == str(size)
    print(f"{size // MB} MB in parts: memory + {watch.growth // MB} MB")
    assert watch.growth < MEMORY_BYTES
    requests.delete(url, headers=head(tenant)).raise_for_status()


# Death


UPLOAD_BYTES = 50 * MB
ROUNDS = [
    pytest.param(0),
    *(pytest.param(number, marks=pytest.mark.soak) for number in range(1, 20)),
]


@pytest.mark.parametrize("number", ROUNDS)
def test_a_file_is_there_whole_or_not_at_all_when_the_server_is_killed(
    platform: Platform, tenant: Tenant, run_id: str, number: int
) -> None:
    name = f"killed-{number}-{time.monotonic_ns()}"
    url, web_processes = url_of(tenant, run_id, name), len(web(platform))
    share = random.random()
    upload = threading.Thread(target=put_slowly, args=(tenant, url, number, share))
    upload.start()
    time.sleep(0.2 + share)
    for pid in [web_server(platform), *web(platform)]:
        kill(pid)
    upload.join(60)
    assert processes.wait_until(
        lambda: is_well(platform, web_processes), PATIENCE_SECONDS
    )
    if name in listed(tenant, run_id):
        answer = requests.get(url, headers=head(tenant), timeout=60)
        wanted = hashlib.sha256(b"".join(pieces(number, UPLOAD_BYTES))).hexdigest()
        assert hashlib.sha256(answer.content).hexdigest() == wanted
    else:
        assert requests.get(url, headers=head(tenant), timeout=60).status_code == 404
    platform.manage("sweep_uploads", "--older-than-hours", "0")
    assert drafts(platform) == []


def put_slowly(tenant: Tenant, url: str, seed: int, share: float) -> None:
    """Send a part of the body, wait, and send the rest; being cut off is expected."""
    host, port = tenant.base_url.removeprefix("http://").split(":")
    lines = [
        f"PUT {url.removeprefix(tenant.base_url)} HTTP/1.1",
        f"Host: {host}:{port}",
        f"Authorization: Bearer {tenant.token}",
        f"Content-Length: {UPLOAD_BYTES}",
    ]
    try:
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            for count, piece in enumerate(pieces(seed, UPLOAD_BYTES)):
                connection.sendall(piece)
                if count == int(share * UPLOAD_BYTES / PIECE):
                    time.sleep(0.3)
            connection.recv(100)
    except OSError:
        pass


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def drafts(platform: Platform) -> list[Path]:
    return list((platform.var / "blobs" / "drafts").glob("*"))

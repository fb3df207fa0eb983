"""Clients that send or read a byte a second: the others hardly notice, and they end."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

import pytest

from mlops.stalls import HEAD_SECONDS, LOOK_SECONDS, STALLED_SECONDS
from tests.chaos import load
from tests.chaos.load import Load
from tests.chaos.test_kill import create_run
from tests.chaos.test_overload import log_metrics
from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.e2e

# 40 of each of the five kinds below are 200.
OF_EACH = 40
HEALTHY_CONNECTIONS = 4
# What a quiet machine's p95 would be measured against; a loaded one jitters more.
MOST_SLOWER = 2.0
REAPED_SECONDS = 30
MEASURED_SECONDS = 20
BIG_BYTES = 8 * 1024**2


@dataclass
class Slow:
    """One client; `ended` is after how many seconds the server had enough of it."""

    kind: str
    first: bytes
    drips: bytes = b""
    reads: bool = False
    socket: socket.socket = field(init=False)
    begun: float = 0
    ended: float | None = None
    status: int = 0

    def begin(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.begun = time.monotonic()
        self.socket.sendall(self.first)
        self.socket.setblocking(False)

    def go_on(self) -> None:
        """Send or read one byte; a reader's own buffer may hold more for a while."""
        try:
            if self.drips:
                self.socket.send(self.drips)
            wanted = 1 if self.status else 16
            received = self.socket.recv(wanted)
            if received.startswith(b"HTTP/1.1 "):
                self.status = int(received[9:12])
            if not received:
                self._end()
        except BlockingIOError:
            pass
        except OSError:
            self._end()

    def is_reset(self) -> bool:
        """Tell whether the server has ended it, unread bytes or not."""
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def look(self) -> None:
        if self.ended is None:
            if self.reads and self.is_reset():
                self._end()
            else:
                self.go_on()

    def _end(self) -> None:
        self.ended = time.monotonic() - self.begun


@dataclass
class Crowd:
    """Goes on with all slow clients once a second."""

    members: list[Slow]
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self.stopping.wait(1):
            for member in self.members:
                member.look()


@contextmanager
def crowding(port: int, members: list[Slow]) -> Iterator[Crowd]:
    crowd = Crowd(members)
    for member in members:
        member.begin(port)
    crowd.thread.start()
    try:
        yield crowd
    finally:
        crowd.stopping.set()
        crowd.thread.join(timeout=10)
        for member in members:
            member.socket.close()


def crowd_of(tenant: Tenant, root: str, count: int) -> list[Slow]:
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {tenant.token}\r\n"
    post = "POST /api/2.0/mlflow/runs/log-metric HTTP/1.1\r\n"
    json_head = f"{post}{head}Content-Type: application/json\r\nContent-Length: 500"
    put = f"PUT {root}/slow.bin HTTP/1.1\r\n{head}Content-Length: 5000000"
    get = f"GET {root}/big.bin HTTP/1.1\r\n{head}"
    kinds = {
        "head": ("GET /health/live HTTP/1.1\r\nX-Slow: ", b"a", False),
        "body": (f"{json_head}\r\n\r\n{{", b" ", False),
        "upload": (f"{put}\r\n\r\nx", b"x", False),
        "stalled upload": (f"{put}\r\n\r\nx", b"", False),
        "download": (f"{get}\r\n", b"", True),
    }
    return [
        Slow(kind, first.encode(), drips, reads)
        for kind, (first, drips, reads) in kinds.items()
        for _ in range(count)
    ]


def big_file(tenant: Tenant) -> str:
    """Store a file of a run; return the address of the folder it lies in."""
    run_id = create_run(tenant)
    root = f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts"
    address = tenant.base_url.removeprefix("http://")
    connection = HTTPConnection(address, timeout=60)
    headers = {"Authorization": f"Bearer {tenant.token}"}
    connection.request("PUT", f"{root}/big.bin", b"x" * BIG_BYTES, headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()
    return root


@pytest.mark.soak
def test_200_slow_clients_leave_the_others_alone_and_are_ended(
    platform: Platform, tenant: Tenant
) -> None:
    requests, members = log_metrics(tenant), crowd_of(tenant, big_file(tenant), OF_EACH)
    healthy = Load(platform.port, requests, HEALTHY_CONNECTIONS, MEASURED_SECONDS)
    load.run(healthy)
    before = load.run(healthy)
    with crowding(platform.port, members):
        under = load.run(healthy)
        time.sleep(max(0, REAPED_SECONDS + 2 - MEASURED_SECONDS))
    after = load.run(healthy)
    baseline = (before.percentile(95) + after.percentile(95)) / 2
    tell(members)
    print(f"before: {before}\nunder: {under}\nafter: {after}")
    print(f"p95 {under.percentile(95) / baseline:.2f} x {baseline:.1f} ms")

    assert set(under.statuses) == {200}
    assert under.percentile(95) < MOST_SLOWER * baseline
    refused = [member for member in members if member.status == 429]
    left = [m for m in members if m.ended is None and m not in refused]
    assert [member.kind for member in left] == []
    assert max(m.ended for m in members if m.ended is not None) <= REAPED_SECONDS + 1


def test_slow_clients_of_each_kind_leave_the_others_alone(
    platform: Platform, tenant: Tenant
) -> None:
    """Fewer, and not to their end: what ends them has tests of its own."""
    members = crowd_of(tenant, big_file(tenant), OF_EACH // 2)
    others = Load(platform.port, log_metrics(tenant), HEALTHY_CONNECTIONS, 4)
    with crowding(platform.port, members):
        time.sleep(1.5)
        result = load.run(others)
    print(result)
    assert set(result.statuses) == {200}
    assert result.statuses[200] > 20


def test_slow_clients_are_ended_within_30_seconds_by_design():
    """A head, a wait in line and two looks must not make a client look silent."""
    assert HEAD_SECONDS + 1 + 2 * LOOK_SECONDS < STALLED_SECONDS
    assert STALLED_SECONDS + 2 * LOOK_SECONDS <= REAPED_SECONDS


def tell(members: list[Slow]) -> None:
    for kind in dict.fromkeys(member.kind for member in members):
        of_kind = [member for member in members if member.kind == kind]
        ended = sorted(member.ended or 0 for member in of_kind)
        statuses = dict(Counter(member.status for member in of_kind))
        print(f"{kind}: ended after {ended[0]:.0f} to {ended[-1]:.0f} s, {statuses}")

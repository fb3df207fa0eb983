"""A lean source of load in a process of its own: prebuilt bytes, one thread, epoll.

    python -m tests.chaos.load < load.json

It measures on the same cores as the server it loads, so it says what it used of them.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# So long answers may still come after the last request has been sent.
PATIENCE_SECONDS = 15
GOOD = 200


@dataclass
class Load:
    """`rate` requests a second, whatever comes back (open loop).

    Without a rate each connection sends its next request when it has its answer.
    """

    port: int
    requests: list[str]
    connections: int
    seconds: float
    rate: float = 0


@dataclass
class Result:
    """What came back, by status; -1 is a connection that broke without an answer."""

    statuses: dict[int, int]
    seconds: float
    unsent: int
    without_retry_after: int
    latencies_ms: dict[int, list[float]]
    cpu_share: float

    @property
    def goodput(self) -> float:
        return self.statuses.get(GOOD, 0) / self.seconds

    def percentile(self, percent: float, status: int = GOOD) -> float:
        return percentile(self.latencies_ms.get(status, []), percent)

    def __str__(self) -> str:
        words = [f"{self.goodput:.0f}/s good", f"answers {self.statuses}"]
        for status in sorted(self.latencies_ms):
            p50, p95, p99 = (self.percentile(each, status) for each in (50, 95, 99))
            words.append(f"{status}: p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms")
        words += [f"unsent {self.unsent}", f"generator {self.cpu_share:.0%} of a core"]
        return ", ".join(words)


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[int(len(ordered) * percent / 100)] if ordered else 0.0


def started(load: Load) -> subprocess.Popen[str]:
    """Start it beside the tests; `result_of` waits for what it found."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(json.dumps(asdict(load)))
    process.stdin.close()
    return process


def result_of(process: subprocess.Popen[str]) -> Result:
    assert process.stdout
    said: dict[str, Any] = json.loads(process.stdout.read())
    assert process.wait() == 0
    for name in ("statuses", "latencies_ms"):
        said[name] = {int(status): value for status, value in said[name].items()}
    return Result(**said)


def run(load: Load) -> Result:
    return result_of(started(load))


def request(
    method: str,
    path: str,
    token: str,
    body: bytes = b"",
    kind: str = "application/json",
) -> str:
    """Build the bytes of a request, as text that JSON can carry."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head + body.decode("latin-1")


# In the process of its own


@dataclass(eq=False)
class Client:
    """One connection and the answer that is arriving over it."""

    port: int
    socket: socket.socket = field(init=False)
    sent_at: float = 0
    answer: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes, at: float) -> None:
        self.sent_at = at
        self.answer.clear()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """True when the answer is whole. Raises OSError when it broke off."""
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionResetError
        self.answer += piece
        head = self.answer.find(b"\r\n\r\n")
        if head < 0:
            return False
        found = self.answer.lower().find(b"content-length:", 0, head)
        length = int(self.answer[found + 15 : self.answer.find(b"\r\n", found)])
        return len(self.answer) >= head + 4 + length


class Generator:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.requests = [each.encode("latin-1") for each in load.requests]
        self.selector = selectors.EpollSelector()
        self.idle: deque[Client] = deque()
        self.busy = 0
        self.sent = self.unsent = self.without_retry_after = 0
        self.statuses: Counter[int] = Counter()
        self.latencies: dict[int, list[float]] = {}

    def run(self) -> Result:
        for _ in range(self.load.connections):
            self._open()
        started, cpu = time.monotonic(), time.process_time()
        end = started + self.load.seconds
        while (now := time.monotonic()) < end:
            self._send_due(now - started, now)
            self._receive(0.001 if self.load.rate else end - now)
        elapsed = time.monotonic() - started
        good_in_time = dict(self.statuses)
        while self.busy and time.monotonic() < end + PATIENCE_SECONDS:
            self._receive(1)
        late = Counter(self.statuses) - Counter(good_in_time)
        cpu = time.process_time() - cpu
        # Late answers count by what they are, but not as work done in time.
        statuses = {
            s: n - (late[s] if s == GOOD else 0) for s, n in self.statuses.items()
        }
        return Result(
            statuses,
            elapsed,
            self.unsent,
            self.without_retry_after,
            self.latencies,
            cpu / elapsed,
        )

    def _open(self) -> None:
        client = Client(self.load.port)
        self.selector.register(client.socket, selectors.EVENT_READ, client)
        self.idle.append(client)

    def _send_due(self, elapsed: float, now: float) -> None:
        if not self.load.rate:
            while self.idle:
                self._send(now)
            return
        due = int(elapsed * self.load.rate) - self.sent - self.unsent
        while due > 0 and self.idle:
            self._send(now)
            due -= 1
        # A load beyond its connections does not pile up for later.
        self.unsent += max(due, 0)

    def _send(self, now: float) -> None:
        client = self.idle.popleft()
        try:
            client.send(self.requests[self.sent % len(self.requests)], now)
            self.busy += 1
        except OSError:
            self._broken(client, was_busy=False)
        self.sent += 1

    def _receive(self, patience: float) -> None:
        for key, _ in self.selector.select(patience):
            client: Client = key.data
            try:
                if client.receive():
                    self._note(client)
            except OSError:
                self._broken(client, was_busy=client not in self.idle)

    def _note(self, client: Client) -> None:
        self.busy -= 1
        status = int(client.answer[9:12])
        self.statuses[status] += 1
        taken_ms = (time.monotonic() - client.sent_at) * 1000
        self.latencies.setdefault(status, []).append(round(taken_ms, 2))
        if status in (429, 503) and b"retry-after:" not in client.answer.lower():
            self.without_retry_after += 1
        self.idle.append(client)

    def _broken(self, client: Client, *, was_busy: bool) -> None:
        """An idle connection may be closed at any time; one with a request may not."""
        self.selector.unregister(client.socket)
        client.socket.close()
        if was_busy:
            self.busy -= 1
            self.statuses[-1] += 1
        else:
            self.idle.remove(client) if client in self.idle else None
        self._open()


if __name__ == "__main__":
    print(json.dumps(asdict(Generator(Load(**json.load(sys.stdin))).run())))

"""Clients that ask again and again and note each answer with its time."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.running import Tenant

BROKEN = -1
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    at: float
    taken: float
    status: int
    retry_after: str | None


@dataclass
class Probe:
    """One request, sent every tenth of a second over a connection of its own."""

    tenant: Tenant
    path: str
    method: str = "GET"
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=30)
        assert not self._thread.is_alive(), self.path

    def ask(self) -> Answer:
        address = self.tenant.base_url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=20)
        headers = self.headers or {
            "Authorization": f"Bearer {self.tenant.token}",
            "Content-Type": "application/json",
        }
        begun = time.monotonic()
        try:
            connection.request(self.method, self.path, self.body, headers)
            answer = connection.getresponse()
            answer.read()
            status, retry_after = answer.status, answer.headers.get("Retry-After")
        except (OSError, http.client.HTTPException):
            status, retry_after = BROKEN, None
        finally:
            connection.close()
        return Answer(begun, time.monotonic() - begun, status, retry_after)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.answers.append(self.ask())
            time.sleep(PAUSE_SECONDS)

    def between(self, start: float, end: float) -> list[Answer]:
        """Answers to requests that were sent in that time."""
        return [answer for answer in self.answers if start <= answer.at < end]

    def first_good_after(self, moment: float) -> float:
        """Seconds from `moment` until somebody had a good answer."""
        return min(
            answer.at + answer.taken - moment
            for answer in self.answers
            if answer.status == 200 and answer.at + answer.taken > moment
        )


@contextmanager
def asking(*probes: Probe) -> Iterator[None]:
    for probe in probes:
        probe.start()
    try:
        yield
    finally:
        for probe in probes:
            probe.stop()

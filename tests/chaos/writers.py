"""Writers that keep a journal: what was acknowledged, and what nobody can know.

Plain HTTP without the client's retries, so that every answer is seen as it came.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.e2e.running import Tenant

POINTS = 100
NOW = 1_790_000_000_000
ACKNOWLEDGED, UNAVAILABLE = 200, 503
# So long may a connection that died with the database still be met in the pool.
HEALING_SECONDS = 5


@dataclass
class Batch:
    """One log-batch request: 100 points of a metric, a param and a tag."""

    run_id: str
    number: int
    is_acked: bool = False

    @property
    def name(self) -> str:
        return f"batch_{self.number:05}"

    @property
    def points(self) -> list[tuple[int, int, float]]:
        """(milliseconds, step, value) of each point; no two batches share a value."""
        return [
            (NOW + self.number, step, float(self.number * POINTS + step))
            for step in range(POINTS)
        ]

    def body(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "metrics": [
                {"key": self.name, "value": value, "timestamp": moment, "step": step}
                for moment, step, value in self.points
            ],
            "params": [{"key": self.name, "value": str(self.number)}],
            "tags": [{"key": self.name, "value": str(self.number)}],
        }


class Caller:
    """One connection of one tenant; made anew after it broke."""

    def __init__(self, tenant: Tenant) -> None:
        self.address = urlsplit(tenant.base_url).netloc
        self.headers = {
            "Authorization": f"Bearer {tenant.token}",
            "Content-Type": "application/json",
        }
        self.connection = http.client.HTTPConnection(self.address, timeout=10)

    def post(self, call: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return self._ask("POST", call, json.dumps(body))

    def create(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._patiently("POST", call, json.dumps(body))

    def get(self, call: str, **query: str) -> dict[str, Any]:
        return self._patiently("GET", f"{call}?{urlencode(query)}")

    def _patiently(self, method: str, call: str, body: str | None = None) -> Any:
        """Ask again while told to, for as long as healing may take."""
        status, reply = self._ask(method, call, body)
        # From the first answer on: to wait for it may have taken as long by itself.
        deadline = time.monotonic() + HEALING_SECONDS
        while status == UNAVAILABLE and time.monotonic() < deadline:
            time.sleep(0.1)
            status, reply = self._ask(method, call, body)
        assert status == ACKNOWLEDGED, (call, status, reply)
        return reply

    def _ask(self, method: str, call: str, body: str | None = None) -> tuple[int, Any]:
        try:
            path = f"/api/2.0/mlflow/{call}"
            self.connection.request(method, path, body, self.headers)
            response = self.connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()  # the next request opens another
            raise
        is_json = "json" in response.headers.get("Content-Type", "")
        return response.status, json.loads(content) if is_json else {}


@dataclass
class Writer:
    """Logs batch after batch into one run until it is told to stop.

    A batch of even number without an answer is sent again until it is acknowledged, as
    the mlflow client does; one of odd number is left as it is: unknown.
    """

    tenant: Tenant
    run_id: str
    batches: list[Batch] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.caller = Caller(self.tenant)
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()

    @property
    def acked(self) -> int:
        return self.answers[ACKNOWLEDGED]

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()

    def _write(self) -> None:
        while not self.stopping.is_set():
            batch = Batch(self.run_id, len(self.batches))
            self.batches.append(batch)
            self._send(batch)
            while not batch.is_acked and batch.number % 2 == 0:
                time.sleep(0.1)
                self._send(batch)
            time.sleep(0.02)

    def _send(self, batch: Batch) -> None:
        try:
            status, _ = self.caller.post("runs/log-batch", batch.body())
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
            return
        self.answers[status] += 1
        batch.is_acked = status == ACKNOWLEDGED

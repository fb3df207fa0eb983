"""A closed loop of keep-alive connections; loopback only, bounded by time."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

API = "/api/2.0/mlflow/"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    token: str

    @classmethod
    def of(cls, var: Path) -> Server:
        lines = (var / "connection.env").read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines)
        address = urlsplit(values["MLFLOW_TRACKING_URI"])
        if address.hostname not in ("127.0.0.1", "localhost"):
            raise SystemExit(
                f"{address.hostname} is not this machine; nothing was sent."
            )
        return cls(
            address.hostname, address.port or 80, values["MLFLOW_TRACKING_TOKEN"]
        )

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=60)

    def send(self, connection: http.client.HTTPConnection, request: Request) -> bytes:
        headers = {"Authorization": f"Bearer {self.token}"}
        if request.body:
            headers["Content-Type"] = "application/json"
        connection.request(request.method, request.path, request.body or None, headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"{request.path}: {response.status} {body[:300]!r}")
        return body

    def call(self, endpoint: str, **fields: Any) -> Any:
        return json.loads(self.send(self.connect(), post(endpoint, **fields)))


def post(endpoint: str, **fields: Any) -> Request:
    return Request("POST", API + endpoint, json.dumps(fields).encode())


def get(endpoint: str) -> Request:
    return Request("GET", API + endpoint)


def run(
    server: Server, requests: Iterator[Request], connections: int, seconds: float
) -> list[float]:
    """Send for `seconds` and return the seconds that each request took."""
    lock, done = threading.Lock(), []
    end = time.monotonic() + seconds

    def loop() -> None:
        connection = server.connect()
        while time.monotonic() < end:
            with lock:
                request = next(requests)
            start = time.monotonic()
            server.send(connection, request)
            done.append(time.monotonic() - start)

    threads = [threading.Thread(target=loop) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done

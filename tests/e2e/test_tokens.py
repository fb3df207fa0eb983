"""Tokens on real web workers: what acts in all of them, and what their log holds."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from mlops import processes
from tenants.authentication import make_token
from tests.chaos.test_kill import web, web_server
from tests.e2e.running import Platform, Tenant, running

# Restarts workers of the platform that others share: by `make soak` only.
pytestmark = [pytest.mark.e2e, pytest.mark.soak]

EVERYDAY, SOAK = 25, 1000
# What the tests below do on purpose far more often than anybody may.
RATES = {
    "THROTTLE_FAILED_AUTHENTICATION": "1000000/s",
    "THROTTLE_TOKEN": "1000000/s",
    # Only a worker that ends writes uses, so that a test can tell who wrote them.
    "TOKEN_USE_SECONDS": "86400",
    "LOG_LEVEL": "DEBUG",
}


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    before = {name: os.environ.get(name) for name in RATES}
    os.environ.update(RATES)
    try:
        with running() as platform:
            yield platform
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@pytest.fixture(scope="module")
def tenant(platform: Platform) -> Tenant:
    return platform.make_tenant()


@dataclass(frozen=True)
class Line:
    """A connection that stays with one worker."""

    http: http.client.HTTPConnection
    worker: int

    def ask(self, method: str, path: str, token: str, body: Any = None) -> Any:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
        }
        self.http.request(method, path, json.dumps(body) if body else None, headers)
        answer = self.http.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        return answer


def worker_of(platform: Platform, port: int) -> int:
    """Find the worker that has accepted the connection from our `port`."""
    lines = (processes.PROC / "net" / "tcp").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    ends = {(row[1][-4:], row[2][-4:]): row[9] for row in rows}
    inode = ends[f"{platform.port:04X}", f"{port:04X}"]
    for pid in web(platform):
        folder = processes.PROC / str(pid) / "fd"
        links = {os.readlink(entry) for entry in folder.iterdir() if entry.is_symlink()}
        if f"socket:[{inode}]" in links:
            return pid
    raise AssertionError("no worker has the connection")


def open_line(platform: Platform) -> Line:
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=30)
    connection.request("GET", "/health/live")
    connection.getresponse().read()
    return Line(connection, worker_of(platform, connection.sock.getsockname()[1]))


def two_lines(platform: Platform) -> tuple[Line, Line]:
    """Connections to two workers; the kernel says which of them gets the next one."""
    first = open_line(platform)
    for _ in range(200):
        other = open_line(platform)
        if other.worker != first.worker:
            return first, other
    raise AssertionError("one worker takes everything")


def owner_of(platform: Platform) -> str:
    """Issue a token of a person who rules the organization."""
    connection = platform.connection
    issued = platform.manage(
        "issue_token",
        f"--organization={DEMO}",
        f"--user={connection['ADMIN_USERNAME']}",
    )
    token: str = issued["token"]
    return token


DEMO = "demo"
TOKENS = f"/api/v1/organizations/{DEMO}/tokens/"
SEARCH = "/api/2.0/mlflow/runs/search"


@pytest.mark.parametrize(
    "rounds",
    [
        EVERYDAY,
        pytest.param(SOAK, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.parametrize("hot", [True, False])
def test_revocation_acts_on_the_next_request_of_the_other_worker(
    platform: Platform, rounds: int, hot: bool
) -> None:
    owner = owner_of(platform)
    here, there = two_lines(platform)
    here.http.auto_open = there.http.auto_open = 0  # another one might be elsewhere
    dead, gaps = 0, []
    for number in range(rounds):
        body = {"name": f"r{number}", "projects": ["sandbox"]}
        issued = json.loads(here.ask("POST", TOKENS, owner, body).body)
        method, path, search = "GET", TOKENS, None
        if hot:
            method, path, search = "POST", SEARCH, {"experiment_ids": ["0"]}
        for line in (here, there):
            assert line.ask(method, path, issued["token"], search).status == 200
        assert here.ask("DELETE", f"{TOKENS}{issued['id']}/", owner).status == 204
        revoked = time.perf_counter()
        answer = there.ask(method, path, issued["token"], search)
        gaps.append(time.perf_counter() - revoked)
        dead += answer.status == 401
    print(
        f"{dead} of {rounds} refused; median {sorted(gaps)[rounds // 2] * 1000:.1f} ms"
    )
    assert dead == rounds


def exchange(platform: Platform, *lines: str, body: bytes = b"") -> int:
    """Send a request as it stands and return the status of the answer."""
    head = "\r\n".join([*lines, "Host: 127.0.0.1", "Connection: close", "", ""])
    with socket.create_connection(("127.0.0.1", platform.port), timeout=30) as raw:
        raw.sendall(head.encode("latin-1") + body)
        answer = b""
        while part := raw.recv(65536):
            answer += part
    return int(answer.split()[1])


def test_two_authorization_headers_are_refused(
    platform: Platform, tenant: Tenant
) -> None:
    good = f"Authorization: Bearer {tenant.token}"
    other = f"Authorization: Bearer {make_token('u').text}"
    get = "GET /api/2.0/mlflow/experiments/search?max_results=1 HTTP/1.1"
    assert exchange(platform, get, good) == 200
    for pair in ((good, other), (other, good), (good, good), (good, good.lower())):
        assert exchange(platform, get, *pair) in (400, 401), pair


def test_the_log_holds_no_token_whatever_is_sent(
    platform: Platform, tenant: Tenant
) -> None:
    path = "/api/2.0/mlflow/experiments/search"
    kept = "Content-Type: application/json"
    for text in (tenant.token, make_token("u").text, make_token("s").text + "x"):
        for line in (
            f"GET {path}?access_token={text} HTTP/1.1",
            f"GET {path}/{text} HTTP/1.1",
            f"GET /{quote(text).replace('_', '%5F')} HTTP/1.1",
            f"GET /mlflow/{text}/{text}{path} HTTP/1.1",
            f"GET /admin/{text}/?next={text} HTTP/1.1",
        ):
            exchange(platform, line)
            exchange(platform, line, f"Authorization: Bearer {text}")
            exchange(platform, line, f"Cookie: sessionid={text}; csrftoken={text}")
            exchange(platform, line, f"X-Request-Id: {text}")
        for sent in (
            json.dumps({"token": text}).encode(),
            f'{{"token": "{text}", {text}'.encode(),
        ):
            for address in ("/api/v1/token-leaks/", path):
                length = f"Content-Length: {len(sent)}"
                post = f"POST {address} HTTP/1.1"
                exchange(platform, post, kept, length, body=sent)
        exchange(platform, f"GET {path} HTTP/1.1", f"Host: {text}")
    logs = "".join(
        file.read_text(errors="replace") for file in platform.var.rglob("*.log")
    )
    assert "mlp_" in logs, "the requests left no line at all"
    found = re.findall(r"mlp(?:_|%5F)[usj](?:_|%5F)\w{12}(?:_|%5F)\w+", logs)
    assert found == []


def test_uses_are_written_when_a_worker_ends(platform: Platform) -> None:
    issued = platform.manage(
        "issue_token", f"--organization={DEMO}", "--project=sandbox", "--name=late"
    )
    begin = datetime.now(UTC)
    line = open_line(platform)
    search = {"experiment_ids": ["0"]}
    assert line.ask("POST", SEARCH, issued["token"], search).status == 200
    owner = owner_of(platform)
    os.kill(web_server(platform), signal.SIGHUP)
    assert processes.wait_until(lambda: line.worker not in web(platform), 90)
    listed = json.loads(open_line(platform).ask("GET", TOKENS, owner).body)["results"]
    (row,) = [row for row in listed if row["name"] == "late"]
    assert datetime.fromisoformat(row["last_used_at"]) >= begin.replace(microsecond=0)
    assert row["last_used_ip_prefix"] == "127.0.0.0/24"

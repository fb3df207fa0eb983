"""A reload, as after the client's packages were installed: nobody is turned away.

Each worker listens by itself, so a new one must be there before its old one goes.
"""

from __future__ import annotations

import os
import signal
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from mlops import processes
from tests.chaos.test_kill import web, web_server
from tests.e2e.running import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.soak]

LONGEST_SECONDS = 120
# The new workers are alone then, and must have come far enough to listen.
AFTERWARDS_SECONDS = 5


def test_no_connection_is_refused_when_the_workers_are_replaced(
    platform: Platform,
) -> None:
    server = web_server(platform)
    before = set(web(platform)) - {server}
    refused: list[str] = []

    def ask() -> None:
        try:
            with urlopen(f"{platform.base_url}/health/live", timeout=30) as answer:
                assert answer.status == 200
        except URLError as error:
            refused.append(f"{time.monotonic() - begin:.1f} s: {error.reason}")

    def are_replaced() -> bool:
        ask()
        return not before & set(web(platform))

    begin = time.monotonic()
    os.kill(server, signal.SIGHUP)
    assert processes.wait_until(are_replaced, LONGEST_SECONDS)
    alone = time.monotonic()
    while time.monotonic() < alone + AFTERWARDS_SECONDS:
        ask()
    assert web_server(platform) == server
    assert refused == []

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mlops import processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = """
import signal, time
signal.signal(15, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


@pytest.fixture
def start():
    started = []

    def start(command=SLEEP, **options):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_started_at_tells_a_process_from_a_zombie_and_from_none(start):
    process = start()
    moment = processes.started_at(process.pid)
    assert moment
    assert processes.started_at(process.pid) == moment
    process.kill()
    assert processes.wait_until(lambda: not processes.started_at(process.pid), 10)
    assert processes.stat(process.pid)[0] == "Z"
    process.wait()
    assert processes.stat(process.pid) == []


def test_started_at_reads_past_a_name_with_parentheses(start, tmp_path):
    script = tmp_path / "a) S 1 (b"
    script.write_text("#!/bin/sh\nsleep 60 & wait\n")
    script.chmod(0o755)
    process = start([script], process_group=0)
    assert processes.wait_until(lambda: processes.started_at(process.pid), 10)
    os.killpg(process.pid, signal.SIGKILL)


def test_carrying_finds_the_marked_only(start):
    marked = start(env={**os.environ, "MARKER": "a:b"})
    start(env={**os.environ, "MARKER": "a:bc"})
    assert processes.wait_until(lambda: processes.carrying("MARKER=a:b"), 10)
    assert processes.carrying("MARKER=a:b", "OTHER=1") == [marked.pid]
    assert processes.carrying("MARKER=a") == []


def test_end_sends_the_signal_then_kills(start):
    willing, deaf = start(), start([sys.executable, "-c", DEAF])
    assert deaf.stdout.readline() == "deaf\n"

    def living():
        return [p.pid for p in (willing, deaf) if p.poll() is None]

    before = time.monotonic()
    processes.end(living, 0.5, signal.SIGTERM)
    assert time.monotonic() - before < 5
    assert (willing.wait(), deaf.wait()) == (-signal.SIGTERM, -signal.SIGKILL)


SLOW = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit()))
print("ready", flush=True)
time.sleep(60)
"""


def test_end_waits_for_what_is_found_no_more(start):
    """A process loses its environment, by which it is found, before its end."""
    slow = start([sys.executable, "-c", SLOW])
    assert slow.stdout.readline() == "ready\n"
    found = iter([[slow.pid]])
    processes.end(lambda: next(found, []), 20, signal.SIGTERM)
    assert slow.poll() == 0


def test_child_dies_with_a_killed_parent(start):
    code = """
import subprocess, sys, time
from mlops import processes
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(60)"],
    preexec_fn=processes.die_with_parent(15),
)
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = start([sys.executable, "-c", code])
    child = int(parent.stdout.readline())
    assert processes.started_at(child)
    parent.kill()
    assert processes.wait_until(lambda: not processes.started_at(child), 10)


def test_wait_until_gives_up():
    assert not processes.wait_until(lambda: False, 0.1)
    assert processes.wait_until(lambda: True, 0)

"""Children by themselves; the whole supervisor is in test_up."""

from __future__ import annotations

import signal
import sys

import pytest

from mlops import processes, supervisor
from mlops.installation import Installation
from mlops.supervisor import Child, end_children


@pytest.fixture
def installation(tmp_path):
    installation = Installation(tmp_path, 8000, "http://127.0.0.1:8000")
    yield installation
    end_children(installation)


def child(installation, code, **own):
    return Child(installation, "web", [sys.executable, "-c", code], **own)


def look_after_until(child, condition, seconds=20):
    def turn():
        child.look_after({})
        return condition()

    return processes.wait_until(turn, seconds)


def test_child_is_left_alone_while_it_runs(installation):
    web = child(installation, "import time; time.sleep(60)")
    web.start({})
    assert not web.look_after({})
    assert (web.result, web.failures) == (None, 0)


def test_child_that_ends_is_started_again_after_longer_pauses(installation):
    web = child(installation, "print('started')")
    web.start({})
    assert look_after_until(web, lambda: web.failures == 4)
    assert web.log.read_text().count("started") == 4
    assert web._due - web._started > supervisor.LONGEST_PAUSE / 10


def test_child_gets_its_environment_and_says_in_its_log(installation):
    code = "import os; print(os.environ['ONE'], os.environ['TWO'])"
    web = child(installation, code, TWO="own")
    installation.log("web").write_text("of an earlier run\n")
    web = child(installation, code, TWO="own")
    web.start({"ONE": "shared", "TWO": "shared"})
    assert processes.wait_until(lambda: web.result == 0, 20)
    assert web.tail() == "shared own"


def test_what_a_killed_child_left_ends_before_it_starts_again(installation):
    code = """
import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(grandchild.pid, flush=True)
time.sleep(60)
"""
    web = child(installation, code)
    web.start({})
    assert processes.wait_until(web.tail, 20)
    orphan = int(web.tail())
    web.send(signal.SIGKILL)
    assert processes.wait_until(lambda: web.result is not None, 20)
    assert processes.started_at(orphan)
    assert look_after_until(web, lambda: web.failures and web._process)
    assert not processes.started_at(orphan)


def test_end_children_leaves_other_installations_alone(installation, tmp_path):
    other = Installation(tmp_path / "other", 8001, "http://127.0.0.1:8001")
    ours, theirs = (
        child(i, "import time; time.sleep(60)") for i in (installation, other)
    )
    ours.start({})
    theirs.start({})
    end_children(installation)
    assert ours.result is not None
    assert theirs.result is None
    end_children(other)
    assert theirs.result is not None

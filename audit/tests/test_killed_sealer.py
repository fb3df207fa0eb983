"""A sealer that ends by -9 in the midst of its rounds leaves a chain that verifies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from audit import keys
from audit.models import Seal
from audit.tests.sealed import seal, verify, write
from mlops.db.uuid7 import uuid7
from tests.settings import SUPERUSER_URL, TEST_DATABASE

ROOT = Path(__file__).resolve().parents[2]
KILLS = 3
ROUNDS = 150


def url() -> str:
    """The address of this process's database, as an operator would write it."""
    server, _, query = SUPERUSER_URL.partition("?")
    return f"{server.rpartition('/')[0]}/{TEST_DATABASE}?{query}"


def sealer(folder: Path) -> subprocess.Popen[bytes]:
    address = url()
    names = ("DATABASE_URL", "OWNER_DATABASE_URL", "ADMIN_DATABASE_URL")
    environment = {
        **os.environ,
        **dict.fromkeys(names, address),
        "DJANGO_SETTINGS_MODULE": "mlops.settings",
        "VAR": str(folder),
        "AUDIT_SIGNING_KEY": keys.signing_key().text,
    }
    command = [sys.executable, str(ROOT / "manage.py"), "seal_audit", "--batch", "2"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def has_sealed_since(count: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if Seal._base_manager.count() > count:
            return True
        time.sleep(0.005)
    return False


@pytest.mark.django_db(transaction=True)
def test_chain_verifies_when_the_sealer_was_killed(sealing_key, tmp_path):
    random = Random(11)
    organizations = [uuid7(), uuid7()]
    for number in range(ROUNDS):
        write(organizations[number % 2], 2)
    killed = 0
    for _ in range(KILLS):
        process = sealer(tmp_path / "var")
        if has_sealed_since(Seal._base_manager.count(), process):
            time.sleep(random.random() * 0.03)
            process.send_signal(signal.SIGKILL)
        killed += process.wait(60) == -signal.SIGKILL
        assert verify().damaged == []
    assert killed == KILLS, "the sealer was done before it could be killed"
    seal()
    verdict = verify()
    assert (verdict.damaged, verdict.unsealed) == ([], 0)
    assert verdict.entries == 2 * ROUNDS

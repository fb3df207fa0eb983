"""A million entries: no false alarm, and how fast they are sealed and verified."""

from __future__ import annotations

import resource
import time

import pytest

from audit.tests.sealed import seal, superuser, verify, write
from audit.tests.trail import run
from mlops.db.uuid7 import uuid7

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(3600),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sealing_key"),
]
TRANSACTIONS, EACH = 1000, 1000
ALLOWED_BYTES = 32 * 1024**2


def test_a_million_entries_raise_no_false_alarm(capsys):
    chains = [uuid7(), uuid7(), None]
    for number in range(TRANSACTIONS):
        write(chains[number % 3], EACH)
        # Some are sealed as they come, the rest as a backlog.
        if number < 200 and number % 10 == 0:
            seal()
    started = time.monotonic()
    seal()
    sealed_s = time.monotonic() - started
    for fast in (False, True):
        before = peak_bytes()
        started = time.monotonic()
        verdict = verify(fast=fast)
        took = time.monotonic() - started
        grown = peak_bytes() - before
        assert verdict.entries == TRANSACTIONS * EACH
        assert (verdict.damaged, verdict.oddities, verdict.unsealed) == ([], [], 0)
        assert grown < ALLOWED_BYTES
        with capsys.disabled():
            print(
                f"\nfast={fast}: {verdict.entries / took:,.0f} entries/s,"
                f" {verdict.seals} seals, {grown / 1024**2:.1f} MB more memory;"
                f" sealing took {sealed_s:.0f} s"
            )
    with superuser():
        run("UPDATE audit_logs SET reason = 'x' WHERE object_label = 'run 500'")
        # Each transaction has one of them, and each seal tells its first.
        assert verify(fast=True).damages == verdict.seals


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

"""More is asked than can be done: what is taken is served, the rest told at once."""

from __future__ import annotations

import json
import time

import pytest

from mlops import processes
from tests.chaos import load
from tests.chaos.load import Load, Result, request
from tests.chaos.probes import Probe, asking
from tests.chaos.test_kill import create_run, web
from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.e2e

# Connections that keep every slot of both web processes busy, and few waiting.
ENOUGH = 16
# As many as an open loop may have under way, far fewer than the server takes.
MANY = 300
TIMES = 4
LEAST_GOODPUT = 0.8
# Of a short look on a machine that does other things as well.
LEAST_GOODPUT_SEEN = 0.5
# In line at most half a second; the rest is the work, on two loaded cores.
MOST_MS = 2000
GOOD, LIMITED, UNAVAILABLE = 200, 429, 503


def log_metrics(tenant: Tenant) -> list[str]:
    run_id = create_run(tenant)
    path = "/api/2.0/mlflow/runs/log-metric"
    point = {"run_id": run_id, "key": "loss", "timestamp": 1_790_000_000_000}
    return [
        request(
            "POST",
            path,
            tenant.token,
            json.dumps({**point, "value": step / 7, "step": step}).encode(),
        )
        for step in range(500)
    ]


def capacity_of(platform: Platform, requests: list[str], seconds: float) -> Result:
    """The most that is served while nobody has to wait long."""
    return load.run(Load(platform.port, requests, ENOUGH, seconds))


@pytest.mark.parametrize(
    "seconds, least",
    [
        (4, LEAST_GOODPUT_SEEN),
        pytest.param(60, LEAST_GOODPUT, marks=pytest.mark.soak),
    ],
)
def test_overload_is_told_and_goodput_stays(
    platform: Platform, tenant: Tenant, seconds: int, least: float
) -> None:
    requests = log_metrics(tenant)
    capacity_of(platform, requests, 1)  # threads and prepared statements
    before = capacity_of(platform, requests, max(2, seconds / 4))
    live, ready = (Probe(tenant, f"/health/{name}") for name in ("live", "ready"))
    rate = before.goodput * TIMES
    with asking(live, ready):
        under = load.run(Load(platform.port, requests, MANY, seconds, rate))
    after = capacity_of(platform, requests, max(2, seconds / 4))
    peak = (before.goodput + after.goodput) / 2
    print(f"before: {before}\n{TIMES} x: {under}\nafter: {after}")
    print(f"goodput {under.goodput / peak:.0%} of the capacity of {peak:.0f}/s")

    assert set(under.statuses) <= {GOOD, LIMITED}
    assert under.statuses[LIMITED] > 0
    assert under.without_retry_after == 0
    assert under.percentile(99) < MOST_MS
    assert under.goodput >= least * peak
    for probe in (live, ready):
        assert {answer.status for answer in probe.answers} == {GOOD}
        assert max(answer.taken for answer in probe.answers) < MOST_MS / 1000


@pytest.mark.soak
def test_overload_of_impatient_clients_is_told_and_goodput_stays(
    platform: Platform, tenant: Tenant
) -> None:
    """Each sends its next request the moment it is refused."""
    requests = log_metrics(tenant)
    before = capacity_of(platform, requests, 10)
    under = load.run(Load(platform.port, requests, MANY, 30))
    after = capacity_of(platform, requests, 10)
    peak = (before.goodput + after.goodput) / 2
    print(f"before: {before}\n{MANY} impatient: {under}\nafter: {after}")
    print(
        f"goodput {under.goodput / peak:.0%}; refused {under.statuses[LIMITED] / 30}/s"
    )
    assert set(under.statuses) <= {GOOD, LIMITED}
    assert under.percentile(99) < MOST_MS


MOST_GROWTH_BYTES = 50 * 1024**2


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_memory_stays_after_large_bodies(platform: Platform, tenant: Tenant) -> None:
    """10,000 requests whose bodies are up to 100 times as large as usual (R13)."""
    run_id = create_run(tenant)
    path = "/api/2.0/mlflow/runs/set-tag"
    requests = [
        request(
            "POST",
            path,
            tenant.token,
            json.dumps({"run_id": run_id, "key": "note", "value": "x" * size}).encode(),
        )
        for size in (100, 1_000, 10_000, 100_000, 1_000_000)
    ]
    load.run(Load(platform.port, requests, ENOUGH, 10))
    before, sent = memory_of(platform), 0
    while sent < 10_000:
        result = load.run(Load(platform.port, requests, ENOUGH, 20))
        assert UNAVAILABLE not in result.statuses
        sent += sum(result.statuses.values())
        print(result)
    time.sleep(35)  # the threads of a busy time end
    after = memory_of(platform)
    growth = [after[pid] - size for pid, size in before.items()]
    print(f"{sent} requests: grown by {[each // 2**20 for each in growth]} MB")
    assert max(growth) < MOST_GROWTH_BYTES


def memory_of(platform: Platform) -> dict[int, int]:
    """Bytes of memory of each web process."""
    return {
        pid: int((processes.PROC / str(pid) / "statm").read_text().split()[1]) * 4096
        for pid in web(platform)
    }

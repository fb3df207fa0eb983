"""The database is gone, full or locked: told at once, and served soon after."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from mlops import processes
from mlops.db.embedded import Embedded
from mlops.installation import Installation
from tests.chaos.probes import Answer, Probe, asking
from tests.chaos.test_kill import create_run, is_well, superuser, web
from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.e2e

# Shorter than the time-outs: of the pool 2 s, of a lock 2 s, of a statement 5 s.
AT_ONCE_SECONDS = 2.0
HEALED_SECONDS = 5.0
SERVED, LIMITED, UNAVAILABLE = {200, 302}, 429, 503
LOCK = "SELECT FROM experiment_runs WHERE id = %s FOR UPDATE"


def logging_to(tenant: Tenant, run_id: str) -> Probe:
    point = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 1, "step": 1}
    path = "/api/2.0/mlflow/runs/log-metric"
    return Probe(tenant, path, "POST", json.dumps(point))


def updating(tenant: Tenant, run_id: str) -> Probe:
    change = json.dumps({"run_id": run_id, "run_name": "held"})
    return Probe(tenant, "/api/2.0/mlflow/runs/update", "POST", change)


def listing(tenant: Tenant) -> Probe:
    where = f"organizations/{tenant.organization}/projects/{tenant.project}"
    return Probe(tenant, f"/api/v1/{where}/experiments/")


@contextmanager
def left_alone(platform: Platform) -> Iterator[None]:
    """Keep the supervisor from starting the database again meanwhile."""
    running = Installation(platform.var, platform.port, platform.base_url).supervision()
    assert running
    os.kill(running.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(running.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "seconds, settling",
    [(4, 3), pytest.param(60, 10, marks=pytest.mark.soak)],
)
def test_outage_of_the_database_is_told_at_once_and_ends_with_it(
    platform: Platform, tenant: Tenant, seconds: int, settling: int
) -> None:
    live, ready = (Probe(tenant, f"/health/{name}") for name in ("live", "ready"))
    # Who comes with a session is looked up; without one the page leads to the sign-in.
    page = Probe(tenant, "/admin/", headers={"Cookie": f"sessionid={'a' * 32}"})
    writing = [logging_to(tenant, create_run(tenant)) for _ in range(4)]
    asked = [*writing, listing(tenant), page]
    with asking(live, ready, *asked):
        assert processes.wait_until(lambda: all_served(ready, *writing), 20)
        with left_alone(platform):
            gone_at = stop_database(platform)
            time.sleep(seconds)
        database = Embedded(platform.var)
        assert processes.wait_until(database.connects, 60)
        back_at = time.monotonic()
        time.sleep(settling)
    during = [a for probe in asked for a in probe.between(gone_at + 0.5, back_at - 3)]
    tell("live", live.answers)
    unready = ready.between(gone_at + 0.5, back_at - 3)
    tell("ready", unready)
    tell("requests", during)
    healed = [probe.first_good_after(back_at) for probe in (ready, *writing)]
    print(f"first good answers {sorted(healed)} s after its return")

    assert {answer.status for answer in live.answers} == {200}
    assert {answer.status for answer in unready} == {UNAVAILABLE}
    assert {answer.status for answer in during} == {UNAVAILABLE}
    assert all(answer.retry_after for answer in during)
    quick = [*live.answers, *unready, *during]
    assert max(answer.taken for answer in quick) < AT_ONCE_SECONDS
    assert max(healed) < HEALED_SECONDS
    assert is_well(platform, len(web(platform)))
    everything = [answer for probe in (live, ready, *asked) for answer in probe.answers]
    # 429: for as long as it takes to notice, a slot may be held by who waits in vain.
    assert {answer.status for answer in everything} <= {*SERVED, LIMITED, UNAVAILABLE}
    settled = back_at + settling - 1
    later = [answer for probe in asked for answer in probe.between(settled, math.inf)]
    assert {answer.status for answer in later} <= SERVED


def all_served(*probes: Probe) -> bool:
    return all(probe.answers and probe.answers[-1].status == 200 for probe in probes)


def stop_database(platform: Platform) -> float:
    pid = Embedded(platform.var).status().pid
    assert pid
    os.kill(pid, signal.SIGQUIT)
    assert processes.wait_until(lambda: processes.started_at(pid) is None, 10)
    return time.monotonic()


def tell(what: str, answers: list[Answer]) -> None:
    statuses = dict(Counter(answer.status for answer in answers))
    slowest = max((answer.taken for answer in answers), default=0)
    print(f"{what}: {statuses}, slowest {slowest:.2f} s")


def test_full_database_is_told_and_heals(platform: Platform, tenant: Tenant) -> None:
    probe = logging_to(tenant, create_run(tenant))
    with ExitStack() as hogs:
        hog_connections(platform, hogs)
        refused = [probe.ask() for _ in range(10)]
        tell("full", refused)
    freed_at = time.monotonic()
    assert UNAVAILABLE in {answer.status for answer in refused}
    assert {answer.status for answer in refused} <= {200, UNAVAILABLE}
    assert all(a.retry_after for a in refused if a.status == UNAVAILABLE)
    assert max(answer.taken for answer in refused) < HEALED_SECONDS
    assert processes.wait_until(lambda: probe.ask().status == 200, HEALED_SECONDS)
    print(f"healed {time.monotonic() - freed_at:.2f} s after")


def hog_connections(platform: Platform, hogs: ExitStack) -> None:
    """Take every connection that the web's role may have, and end what it has."""
    url = Embedded(platform.var).url("app_rw")
    with superuser(platform) as connection:
        connection.autocommit = True
        while True:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'mlops/%'"
            )
            while connected := try_to_connect(url):
                hogs.enter_context(connected)
            left = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'mlops/web'"
            ).fetchone()
            if left == (0,):
                return


def try_to_connect(url: str) -> psycopg.Connection | None:
    try:
        return psycopg.connect(url)
    except psycopg.OperationalError:
        return None


def test_locked_row_is_told_within_the_lock_timeout(
    platform: Platform, tenant: Tenant
) -> None:
    held, other = create_run(tenant), create_run(tenant)
    with superuser(platform) as connection:
        connection.execute(
            "SELECT FROM experiment_runs WHERE id = %s FOR UPDATE", [held]
        )
        locked_out = updating(tenant, held).ask()
        tell("locked out", [locked_out])
        assert updating(tenant, other).ask().status == 200
    assert (locked_out.status, bool(locked_out.retry_after)) == (UNAVAILABLE, True)
    assert locked_out.taken < 5
    assert updating(tenant, held).ask().status == 200

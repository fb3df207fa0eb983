"""kill -9 under load: what was acknowledged stays, and no batch is torn or doubled.

Four writers log batches while a web worker, a backend of PostgreSQL, its postmaster or
the web server dies. Afterwards every batch is looked for twice, through the API and in
the tables.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any
from urllib.request import urlopen

import psycopg
import pytest

from mlops import processes
from mlops.db.embedded import Embedded
from tests.chaos.writers import ACKNOWLEDGED, UNAVAILABLE, Batch, Caller, Writer
from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.e2e

WRITERS = 4
SOAK = 50
# What keeps dying is started again after a longer pause each time, at most 30 seconds.
PATIENCE_SECONDS = 45


# Who is killed


def web_worker(platform: Platform) -> int:
    """A process that serves requests, one of several."""
    server, parents = web_server(platform), web(platform)
    return random.choice([pid for pid, parent in parents.items() if parent == server])


def web_server(platform: Platform) -> int:
    """The process that starts web workers and holds the port."""
    parents = web(platform)
    (server,) = [pid for pid, parent in parents.items() if parent not in parents]
    return server


def backend(platform: Platform) -> int:
    """A server process that works for the web; its loss resets all of PostgreSQL."""
    with superuser(platform) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'mlops/web'"
        ).fetchall()
    return random.choice(rows)[0]


def postmaster(platform: Platform) -> int:
    pid = Embedded(platform.var).status().pid
    assert pid
    return pid


def web(platform: Platform) -> dict[int, int]:
    """The web server and its workers, each with its parent."""
    marker = f"MLOPS_CHILD={platform.var}:web"
    states = {pid: processes.stat(pid) for pid in processes.carrying(marker)}
    return {pid: int(state[1]) for pid, state in states.items() if is_web(pid, state)}


def is_web(pid: int, state: list[str]) -> bool:
    try:
        command = (processes.PROC / str(pid) / "cmdline").read_text()
    except OSError:  # gone meanwhile
        return False
    return bool(state) and state[0] not in "ZX" and "granian" in command


def is_well(platform: Platform, web_processes: int) -> bool:
    if len(web(platform)) < web_processes or not Embedded(platform.var).connects():
        return False
    try:
        with urlopen(f"{platform.base_url}/health/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def superuser(platform: Platform) -> psycopg.Connection:
    return psycopg.connect(Embedded(platform.var).url("postgres"))


VICTIMS: list[Callable[[Platform], int]] = [
    web_worker,
    postmaster,
    backend,
    web_worker,
    web_server,
]
# (victim, batches that each writer has acknowledged before the death)
ROUNDS = [
    *(pytest.param(victim, 5) for victim in dict.fromkeys(VICTIMS)),
    *(
        pytest.param(victim, 100, marks=pytest.mark.soak)
        for victim in islice(cycle(VICTIMS), SOAK)
    ),
]


@pytest.fixture(scope="module")
def earlier() -> list[Batch]:
    """Batches of the round before: a later death must not take them either."""
    return []


@pytest.mark.parametrize("victim, before", ROUNDS)
def test_kill_loses_and_tears_nothing(
    platform: Platform, tenant: Tenant, earlier: list[Batch], victim, before
) -> None:
    with writing(tenant) as writers:
        wait_for_acks(writers, before)
        time.sleep(random.uniform(0, 0.3))
        pid, number = victim(platform), len(web(platform))
        os.kill(pid, signal.SIGKILL)
        assert processes.wait_until(lambda: processes.started_at(pid) is None, 5)
        assert processes.wait_until(lambda: is_well(platform, number), PATIENCE_SECONDS)
        wait_for_acks(writers, 5)

    batches = [batch for writer in writers for batch in writer.batches]
    answers = sum((writer.answers for writer in writers), Counter())
    unknown = sum(not batch.is_acked for batch in batches)
    print(f"{len(batches)} batches, {unknown} unknown, answers {dict(answers)}")
    assert set(answers) <= {ACKNOWLEDGED, UNAVAILABLE}
    assert sum(batch.is_acked for batch in batches) >= (before + 5) * WRITERS
    for look in (in_the_tables(platform, batches), through_the_api(tenant, batches)):
        judge(batches, look)
    judge(earlier, in_the_tables(platform, earlier))
    earlier[:] = batches


@contextmanager
def writing(tenant: Tenant) -> Iterator[list[Writer]]:
    writers = [Writer(tenant, create_run(tenant)) for _ in range(WRITERS)]
    try:
        yield writers
    finally:
        for writer in writers:
            writer.stop()


def wait_for_acks(writers: list[Writer], more: int) -> None:
    """Wait until each writer has so many more batches acknowledged than now."""
    wanted = [(writer, writer.acked + more) for writer in writers]
    assert processes.wait_until(
        lambda: all(writer.acked >= count for writer, count in wanted), PATIENCE_SECONDS
    ), [writer.answers for writer in writers]


def create_run(tenant: Tenant) -> str:
    body = {"experiment_id": "0", "start_time": time.time_ns() // 1_000_000}
    run_id: str = Caller(tenant).create("runs/create", body)["run"]["info"]["run_id"]
    return run_id


# What is found of a batch


@dataclass(frozen=True)
class Found:
    """What is left of one batch, in each of the places it went to."""

    points: list[tuple[int, int, float]]
    param: str | None
    tag: str | None
    latest: float | None

    def is_whole(self, batch: Batch) -> bool:
        value = str(batch.number)
        return self == Found(batch.points, value, value, batch.points[-1][2])

    def is_absent(self) -> bool:
        return self == Found([], None, None, None)


Look = Callable[[Batch], Found]


def judge(batches: list[Batch], look: Look) -> None:
    lost_or_torn = [
        (batch, found)
        for batch, found in ((batch, look(batch)) for batch in batches)
        if not (found.is_whole(batch) or (found.is_absent() and not batch.is_acked))
    ]
    assert lost_or_torn == []


def through_the_api(tenant: Tenant, batches: list[Batch]) -> Look:
    caller = Caller(tenant)
    runs = {
        run_id: caller.get("runs/get", run_id=run_id)["run"]["data"]
        for run_id in {batch.run_id for batch in batches}
    }

    def one_of(kind: str, batch: Batch) -> Any:
        pairs = runs[batch.run_id].get(kind, [])
        return next(
            (pair["value"] for pair in pairs if pair["key"] == batch.name), None
        )

    def look(batch: Batch) -> Found:
        history = caller.get(
            "metrics/get-history", run_id=batch.run_id, metric_key=batch.name
        )
        points = [
            (point["timestamp"], point["step"], point["value"])
            for point in history.get("metrics", [])
        ]
        places = ("params", "tags", "metrics")
        return Found(points, *(one_of(place, batch) for place in places))

    return look


POINTS = """
SELECT replace(experiment_run_id::text, '-', ''), metric_name, timestamp_ms, step, value
FROM run_metrics WHERE experiment_run_id = ANY (%s::uuid[]) ORDER BY step
"""
SINGLE = """
SELECT replace(experiment_run_id::text, '-', ''), {name}, value
FROM {table} WHERE experiment_run_id = ANY (%s::uuid[])
"""
PLACES = {"run_params": "key", "run_tags": "key", "latest_metrics": "metric_name"}


def in_the_tables(platform: Platform, batches: list[Batch]) -> Look:
    """Read as the superuser, whom no policy hides anything from."""
    runs = [sorted({batch.run_id for batch in batches})]
    points = defaultdict(list)
    single: dict[str, dict[tuple[str, str], Any]] = {}
    with superuser(platform) as connection:
        for run_id, name, *point in connection.execute(POINTS, runs):
            points[run_id, name].append(tuple(point))
        for table, name in PLACES.items():
            rows = connection.execute(SINGLE.format(table=table, name=name), runs)
            single[table] = {(run_id, key): value for run_id, key, value in rows}

    def look(batch: Batch) -> Found:
        place = batch.run_id, batch.name
        return Found(points[place], *(single[table].get(place) for table in PLACES))

    return look

"""The requests that training loops and pages send most."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.load import Request, Server, get, post

START_MS = 1_710_000_000_000
_numbers = itertools.count(time.time_ns() // 1000 % 10**9 * 1000)


@dataclass(frozen=True)
class Workload:
    prepare: Callable[[Server], Iterator[Request]]
    connections: int


def experiment(server: Server) -> str:
    found = server.call("experiments/search", max_results=1000)["experiments"]
    for each in found:
        if each["name"] == "bench":
            return str(each["experiment_id"])
    return str(server.call("experiments/create", name="bench")["experiment_id"])


def new_runs(server: Server, count: int) -> list[str]:
    place = experiment(server)
    made = [
        server.call("runs/create", experiment_id=place, start_time=START_MS + number)
        for number in itertools.islice(_numbers, count)
    ]
    return [each["run"]["info"]["run_id"] for each in made]


def log_metric(server: Server) -> Iterator[Request]:
    runs = itertools.cycle(new_runs(server, 64))
    for run, number in zip(runs, _numbers, strict=False):
        moment = START_MS + number
        yield post(
            "runs/log-metric",
            run_id=run,
            key="loss",
            value=1.5,
            timestamp=moment,
            step=number,
        )


def log_batch(server: Server) -> Iterator[Request]:
    runs = itertools.cycle(new_runs(server, 16))
    for run, number in zip(runs, _numbers, strict=False):
        points = [
            {
                "key": f"m{place % 10}",
                "value": place * 0.5,
                "timestamp": START_MS + number,
                "step": number * 100 + place // 10,
            }
            for place in range(1000)
        ]
        yield post("runs/log-batch", run_id=run, metrics=points)


def get_run(server: Server) -> Iterator[Request]:
    (run,) = new_runs(server, 1)
    server.call(
        "runs/log-batch",
        run_id=run,
        metrics=[
            {"key": f"m{n}", "value": n / 3, "timestamp": START_MS} for n in range(50)
        ],
        params=[{"key": f"p{n}", "value": str(n)} for n in range(50)],
        tags=[{"key": f"t{n}", "value": str(n)} for n in range(20)],
    )
    return itertools.repeat(get(f"runs/get?run_id={run}"))


def search_runs(server: Server) -> Iterator[Request]:
    new_runs(server, 100)
    place = experiment(server)
    page = post("runs/search", experiment_ids=[place], max_results=100)
    return itertools.repeat(page)


WORKLOADS = {
    "log-metric": Workload(log_metric, 8),
    "log-batch, 1000 points": Workload(log_batch, 4),
    "runs/get, 50+50+20": Workload(get_run, 8),
    "runs/search, page of 100": Workload(search_runs, 4),
}

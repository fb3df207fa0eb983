"""Measure what capture costs: the same changes with its triggers and without, in turns.

    python -m bench.audit [--rounds 12] [--seconds 1] [--only NAME] [--out FILE]

Starts a platform in a scratch folder, on loopback, and lets writers of one organization
change it through the application's own code, commits and fsync included, in interleaved
rounds (on off, off on, …). Prints the median milliseconds of a change and their ratio,
and stops what it started. Before that eight writers make 200 changes a second, while
the worker seals: how long entries wait for their seal.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

from psycopg import sql

from bench.hot_paths import new_runs
from bench.load import Server
from bench.locks import REPOSITORY, platform, port_for, superuser

SCRIPT = "from bench import audit_writers; audit_writers.main()"
CAPTURE: LiteralString = "ALTER TABLE model_versions {} TRIGGER audit_capture"
DATA_EVENTS: LiteralString = "UPDATE organizations SET audit_data_events = {}"


@dataclass(frozen=True)
class Scenario:
    """What is changed, by how many at once, how capture is switched, what it costs."""

    work: str
    writers: int
    on: LiteralString
    off: LiteralString
    most: float | None


ROW_ON, ROW_OFF = CAPTURE.format("ENABLE"), CAPTURE.format("DISABLE")
DATA_ON, DATA_OFF = DATA_EVENTS.format("true"), DATA_EVENTS.format("false")
SCENARIOS = {
    "one row, by the service, 8 writers": Scenario("service", 8, ROW_ON, ROW_OFF, 1.25),
    "one row, plain SQL, 8 writers": Scenario("plain_sql", 8, ROW_ON, ROW_OFF, 1.25),
    "one row, plain SQL, 1 writer": Scenario("plain_sql", 1, ROW_ON, ROW_OFF, None),
    "log-batch of 1,000, 1 writer": Scenario("log_batch", 1, DATA_ON, DATA_OFF, 1.3),
    "log-batch of 1,000, 8 writers": Scenario("log_batch", 8, DATA_ON, DATA_OFF, 1.3),
}
LAG = "sealing lag, 200 changes/s"
PER_SECOND = 200
# What waited, from its own moment to that of the seal that covers it.
LAGS: LiteralString = """
SELECT count(*), count(s.n),
       extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY w.waited)),
       extract(epoch FROM percentile_cont(0.99) WITHIN GROUP (ORDER BY w.waited)),
       extract(epoch FROM max(w.waited))
FROM audit_logs e
LEFT JOIN audit_seals s ON s.organization_id = e.organization_id
     AND e.transaction_id >= s.xid_from AND e.transaction_id < s.xid_to,
     LATERAL (SELECT s.sealed_at - e.created_at AS waited) w
WHERE e.created_at > {}
"""
MOST_WRITERS = max(scenario.writers for scenario in SCENARIOS.values())


class Writers:
    """Processes that change what they are told to, all at once."""

    def __init__(self, var: Path, token: str) -> None:
        self.started = [self._start(var, token, n) for n in range(MOST_WRITERS)]
        for each in self.started:
            if each.stdout.readline() != "ready\n":
                raise SystemExit("A writer did not start.")

    @staticmethod
    def _start(var: Path, token: str, number: int) -> subprocess.Popen[str]:
        kept = {key: os.environ[key] for key in os.environ if "DATABASE_URL" not in key}
        own = {"VAR": str(var), "PORT": str(port_for(var)), "BENCH_TOKEN": token}
        return subprocess.Popen(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=kept | own | {"BENCH_WRITER": str(number)},
        )

    def took_ms(
        self, work: str, count: int, seconds: float, interval: float = 0
    ) -> list[float]:
        """Return the milliseconds of each change of `count` writers."""
        asked = {"work": work, "seconds": seconds, "interval": interval}
        told = json.dumps(asked) + "\n"
        for each in self.started[:count]:
            each.stdin.write(told)
            each.stdin.flush()
        answers = [json.loads(each.stdout.readline()) for each in self.started[:count]]
        return [took for answer in answers for took in answer]

    def stop(self) -> None:
        for each in self.started:
            each.stdin.close()
            each.wait(timeout=30)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may be run by another account
        var = Path(folder) / "var"
        with platform(var), writing(var) as writers:
            rows: dict[str, Any] = {}
            # First: behind the others entries wait for those of the others.
            if options.only in LAG:
                rows[LAG] = lag(var, writers, options.lag_seconds)
            for name, scenario in SCENARIOS.items():
                if options.only in name:
                    rows[name] = measure(name, scenario, var, writers, options)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--lag-seconds", type=float, default=60)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    return parser.parse_args()


@contextlib.contextmanager
def writing(var: Path) -> Iterator[Writers]:
    server = Server.of(var)
    prepare(server)
    writers = Writers(var, server.token)
    try:
        yield writers
    finally:
        writers.stop()


def prepare(server: Server) -> None:
    """Make a run and a model version for each writer."""
    server.call("registered-models/create", name="bench")
    for run in new_runs(server, MOST_WRITERS):
        source = f"runs:/{run}/model"
        server.call("model-versions/create", name="bench", source=source, run_id=run)


def measure(
    name: str,
    scenario: Scenario,
    var: Path,
    writers: Writers,
    options: argparse.Namespace,
) -> dict[str, Any]:
    found: list[list[float]] = [[], []]
    changes = [0, 0]
    for number in range(options.rounds):
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            superuser(var, (scenario.on, scenario.off)[place])
            # Else one side may be measured with statistics that the other has not yet.
            superuser(var, "VACUUM ANALYZE")
            writers.took_ms(scenario.work, scenario.writers, 0.5)
            took = writers.took_ms(scenario.work, scenario.writers, options.seconds)
            found[place].append(statistics.median(took))
            changes[place] += len(took)
    superuser(var, scenario.on)
    on, off = map(statistics.median, found)
    row = {
        "on_ms": round(on, 3),
        "off_ms": round(off, 3),
        "ratio": round(on / off, 3),
        "most": scenario.most,
        "rounds_on_ms": [round(each, 3) for each in found[0]],
        "rounds_off_ms": [round(each, 3) for each in found[1]],
        "changes": changes,
    }
    print(f"{name:36} {on:7.2f} : {off:7.2f} ms   {on / off:5.2f}x", flush=True)
    return row


def lag(var: Path, writers: Writers, seconds: float) -> dict[str, Any]:
    """Return how long the entries of so many seconds waited for their seals."""
    ((begun,),) = superuser(var, "SELECT clock_timestamp()")
    interval = MOST_WRITERS / PER_SECOND
    took = writers.took_ms("plain_sql", MOST_WRITERS, seconds, interval)
    time.sleep(30)  # until the last ones are sealed, too
    (found,) = superuser(var, sql.SQL(LAGS).format(begun))
    entries, sealed, p50, p99, longest = found
    row = {
        "changes_per_second": round(len(took) / seconds, 1),
        "entries": entries,
        "sealed": sealed,
        "p50_s": round(float(p50), 2),
        "p99_s": round(float(p99), 2),
        "max_s": round(float(longest), 2),
        "most_s": 15,
    }
    print(f"{LAG:36} {p50:.2f} s, p99 {p99:.2f} s, {sealed} of {entries}", flush=True)
    return row


if __name__ == "__main__":
    main()

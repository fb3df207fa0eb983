"""Measure what row-level security costs: two platforms, one without it, in turns.

    python -m bench.locks [--rounds 5] [--seconds 3] [--out FILE]

Starts both in a scratch folder, on loopback and with nothing else different, asks them
the same in interleaved rounds (on off, off on, …), prints CPU milliseconds per request
and their ratio, and stops what it started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from bench import hot_paths
from bench.cpu import Processes
from bench.load import Server, run
from mlops.db.cluster import SUPERUSER
from mlops.db.embedded import Embedded

REPOSITORY = Path(__file__).resolve().parent.parent
WORKLOADS = ("log-metric", "runs/get, 50+50+20", "runs/search, page of 100")
WARM_UP_SECONDS = 1
PROTECTED = "SELECT oid::regclass::text FROM pg_class WHERE relrowsecurity"


class Side:
    """One of the two platforms."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.server, self.processes = Server.of(var), Processes(var)

    def cost_ms(self, name: str, seconds: float) -> float:
        """Return the CPU of server and PostgreSQL that a request took."""
        workload = hot_paths.WORKLOADS[name]
        requests = workload.prepare(self.server)
        # Else one side may be measured with statistics that the other has not yet.
        superuser(self.var, "VACUUM ANALYZE")
        run(self.server, requests, workload.connections, WARM_UP_SECONDS)
        before = self.processes.usage()
        done = run(self.server, requests, workload.connections, seconds)
        spent = self.processes.usage() - before
        return (spent.server_ms + spent.postgres_ms) / len(done)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        Path(folder).chmod(0o755)  # PostgreSQL may be run by another account
        sides = []
        for name in ("on", "off"):
            var = Path(folder) / name
            stack.enter_context(platform(var))
            sides.append(Side(var))
        switch_off(Path(folder) / "off")
        rows = {name: measure(name, sides, options) for name in WORKLOADS}
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    return parser.parse_args()


@contextlib.contextmanager
def platform(var: Path) -> Iterator[None]:
    manage(var, "up", "--detach", "--no-example", "--quiet")
    try:
        yield
    finally:
        manage(var, "down", "--quiet")


def manage(var: Path, *words: str) -> None:
    kept = {key: os.environ[key] for key in os.environ if "DATABASE_URL" not in key}
    own = {"VAR": str(var), "PORT": str(port_for(var)), "ALLOW_PRIVILEGED_DB": "1"}
    command = [sys.executable, "manage.py", *words]
    subprocess.run(command, check=True, cwd=REPOSITORY, env=kept | own)


_ports: dict[Path, int] = {}


def port_for(var: Path) -> int:
    """Return a port of loopback that was free when it was first asked for."""
    if var not in _ports:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            _ports[var] = probe.getsockname()[1]
    return _ports[var]


def switch_off(var: Path) -> None:
    """Tables belong to several roles: the superuser of the cluster may change all."""
    for (table,) in superuser(var, PROTECTED):
        statement = "ALTER TABLE {} DISABLE ROW LEVEL SECURITY"
        superuser(var, sql.SQL(statement).format(sql.SQL(table)))


def superuser(var: Path, statement: LiteralString | sql.Composed) -> list[Any]:
    url = Embedded(var).url(SUPERUSER)
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def measure(
    name: str, sides: list[Side], options: argparse.Namespace
) -> dict[str, float]:
    found: list[list[float]] = [[], []]
    for number in range(options.rounds):
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            found[place].append(sides[place].cost_ms(name, options.seconds))
    on, off = map(statistics.median, found)
    print(f"{name:28} {on:6.2f} : {off:6.2f} ms CPU   {on / off:5.2f}x", flush=True)
    return {"on_ms": on, "off_ms": off, "ratio": on / off}


if __name__ == "__main__":
    main()

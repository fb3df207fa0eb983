"""Measure what hot requests cost on a running platform: `make bench`.

    make up DETACH=1
    python -m bench [--var var] [--seconds 5] [--rounds 3] [--only NAME] [--out FILE]

Prints CPU milliseconds per request, server and PostgreSQL apart. Each workload runs for
a bounded time, against loopback only, in a project of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from pathlib import Path

from bench import hot_paths
from bench.cpu import Processes, Usage
from bench.load import Server, run


def main() -> None:
    options = arguments()
    server = Server.of(options.var)
    processes = Processes(options.var)
    rows = {}
    for name, workload in hot_paths.WORKLOADS.items():
        if options.only and options.only not in name:
            continue
        rounds = []
        for _ in range(options.rounds):
            requests = workload.prepare(server)
            before = processes.usage()
            done = run(server, requests, workload.connections, options.seconds)
            spent = processes.usage() - before
            rounds.append(figures(done, spent, options.seconds))
        rows[name] = {
            key: statistics.median(r[key] for r in rounds) for key in rounds[0]
        }
        print_row(name, rows[name])
    if options.out:
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        options.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--var", type=Path, default=Path("var"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="workloads whose name holds this")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    return parser.parse_args()


def figures(done: list[float], spent: Usage, seconds: float) -> dict[str, float]:
    done.sort()
    return {
        "server_ms": spent.server_ms / len(done),
        "postgres_ms": spent.postgres_ms / len(done),
        "per_second": len(done) / seconds,
        "p50_ms": done[len(done) // 2] * 1000,
        "p99_ms": done[len(done) * 99 // 100] * 1000,
    }


def print_row(name: str, row: dict[str, float]) -> None:
    print(
        f"{name:28} {row['server_ms']:6.2f} + {row['postgres_ms']:6.2f} ms CPU   "
        f"{row['per_second']:7.0f}/s   p50 {row['p50_ms']:6.1f} ms   "
        f"p99 {row['p99_ms']:6.1f} ms",
        flush=True,
    )


if __name__ == "__main__":
    main()

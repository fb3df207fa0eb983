"""CPU time of the platform's processes, read from /proc."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    server_ms: float
    postgres_ms: float

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.server_ms - earlier.server_ms, self.postgres_ms - earlier.postgres_ms
        )


class Processes:
    """The web processes and the embedded PostgreSQL of one `make up`."""

    def __init__(self, var: Path) -> None:
        supervisor = json.loads((var / "run" / "up.json").read_text())["pid"]
        self.web = [
            pid for pid in children_of(supervisor) if "granian" in command_of(pid)
        ]
        (self.postmaster,) = [
            pid for pid in children_of(supervisor) if "postgres" in command_of(pid)
        ]

    def usage(self) -> Usage:
        return Usage(sum(tree_ms(pid) for pid in self.web), tree_ms(self.postmaster))


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def tree_ms(pid: int) -> float:
    """CPU of a process, of its children that live and of those that have ended."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(ticks) for ticks in stat[11:15]) * TICK_MS
    return own + sum(tree_ms(child) for child in children_of(pid))

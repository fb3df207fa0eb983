"""Facts about processes from /proc, and ways to end them that cannot hit a stranger."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROC = Path("/proc")
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def stat(pid: int) -> list[str]:
    """Read /proc/<pid>/stat from the state on; empty when the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def started_at(pid: int) -> int | None:
    """Tell a process from a later one of the same number; None if it is gone.

    In clock ticks since the machine started. A zombie counts as gone.
    """
    fields = stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def cpu_ticks(pid: int) -> int:
    fields = stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def carrying(*markers: str) -> list[int]:
    """Find living processes whose environment holds one of `markers` (NAME=value)."""
    wanted = {marker.encode() for marker in markers}
    return [
        pid
        for pid in pids()
        if pid != os.getpid() and not wanted.isdisjoint(_environ(pid))
    ]


def _environ(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile, or another account's: then not ours
        return []


def die_with_parent(number: int) -> Callable[[], None]:
    """Make a `preexec_fn`: the kernel sends the child `number` when the parent dies."""
    parent = os.getpid()

    def arm() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before we were armed
            os.kill(os.getpid(), signal.SIGKILL)

    return arm


def end(find: Callable[[], list[int]], patience: float, first: int) -> None:
    """Send `first` to what `find` finds, then SIGKILL to what is left after a while.

    What was found once is waited for: a process loses its environment, by which ours
    are known, before it lets go of its port.
    """
    found: dict[int, int | None] = {}

    def left() -> list[int]:
        found.update({pid: started_at(pid) for pid in find() if pid not in found})
        return [
            pid for pid, start in found.items() if start and start == started_at(pid)
        ]

    send(left(), first)
    if not wait_until(lambda: not left(), patience):
        send(left(), signal.SIGKILL)
        wait_until(lambda: not left(), patience)


def send(targets: list[int], number: int) -> None:
    for pid in targets:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True

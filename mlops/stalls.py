"""Ends connections whose other side hardly moves, by what the kernel says of them.

The server (granian 2.8) bounds how long a head may take, but neither how long a body
nor how long an answer: a client that sends or reads a byte a second would hold a thread
for hours. So a thread of each web process looks at its sockets every few seconds and
shuts those down over which next to nothing went; the server then frees the rest.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from mlops.overload import Work

logger = logging.getLogger(__name__)

FILES = Path("/proc/self/fd")
AT_ONCE = struct.pack("ii", 1, 0)
INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
LOOK_SECONDS = 4
# Longer than a head may take (HEAD_SECONDS), a wait in line and two looks, so that no
# request that has just come over an old connection is taken for a silent one.
STALLED_SECONDS = 22
HEAD_SECONDS = 12
# What must have gone over a connection in that time, either way: about 1.5 kB/s.
LEAST_BYTES = 32 * 1024
# struct tcp_info of Linux 4.6 and later: where it has what, and its least length.
LAST_DATA_MS, ACKED_AND_RECEIVED, UNSENT, INFO_BYTES = 52, 120, 144, 148


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a connection; bytes since it was opened."""

    at: float
    received: int
    acked: int
    has_unsent: bool
    last_received_at: float


@dataclass(slots=True)
class Connection:
    """What has gone over a connection since it last moved well."""

    since: Reading

    def has_stalled(self, now: Reading, work: Work) -> bool:
        out = now.acked - self.since.acked
        answered = out > 0 and not now.has_unsent
        moved = max(out, now.received - self.since.received) >= LEAST_BYTES
        if answered or moved:
            self.since = now
            return False
        if now.at - self.since.at < STALLED_SECONDS:
            return False
        return now.has_unsent or not may_be_ours(now, work)


def may_be_ours(reading: Reading, work: Work) -> bool:
    """Tell whether the silence may be a request that we are long at work on.

    Nothing comes from its client after we have begun.
    """
    recent = reading.at - LOOK_SECONDS
    return any(
        reading.last_received_at <= since < recent
        for since in list(work.since.values())
    )


class Reaper:
    """Looks after the connections that this process has accepted."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._connections: dict[int, Connection] = {}

    def start(self) -> None:
        threading.Thread(target=self._run, name="stalls", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                self.look()
            except Exception:
                logger.exception("Connections could not be looked at.")

    def look(self) -> int:
        """Shut down what has stalled since earlier looks; return how many."""
        seen: dict[int, Connection] = {}
        stalled = 0
        with ExitStack() as held:
            for peer in accepted([held.enter_context(each) for each in sockets()]):
                reading = reading_of(peer)
                if reading is None:
                    continue
                identity = os.fstat(peer.fileno()).st_ino
                connection = self._connections.get(identity) or Connection(reading)
                seen[identity] = connection
                if connection.has_stalled(reading, self.work):
                    stalled += 1
                    end(peer)
        self._connections = seen
        if stalled:
            logger.warning("Ended %s connections that had stalled.", stalled)
        return stalled


def end(peer: socket.socket) -> None:
    """Make the server close it; what was not sent by then is thrown away."""
    with suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        peer.shutdown(socket.SHUT_RDWR)


def sockets() -> Iterator[socket.socket]:
    """Yield the process's sockets of TCP as duplicates.

    The server may close its own meanwhile, and the number be given away.
    """
    for file in FILES.iterdir():
        with suppress(OSError):
            if not os.readlink(file).startswith("socket:"):
                continue
            found = socket.socket(fileno=os.dup(int(file.name)))
            if found.family in INTERNET and found.type == socket.SOCK_STREAM:
                yield found
            else:
                found.close()


def accepted(found: list[socket.socket]) -> list[socket.socket]:
    """Pick those that came to a port on which the process listens."""
    ports = {each.getsockname()[1] for each in found if listens(each)}
    return [each for each in found if each.getsockname()[1] in ports and has_peer(each)]


def listens(each: socket.socket) -> bool:
    return bool(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def has_peer(each: socket.socket) -> bool:
    try:
        each.getpeername()
    except OSError:  # listens, is only bound, or was left just now
        return False
    return True


def reading_of(peer: socket.socket) -> Reading | None:
    """None where the kernel does not say enough."""
    told = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(told) < INFO_BYTES:
        return None
    now = time.monotonic()
    (silent_ms,) = struct.unpack_from("=I", told, LAST_DATA_MS)
    acked, received = struct.unpack_from("=QQ", told, ACKED_AND_RECEIVED)
    (unsent,) = struct.unpack_from("=I", told, UNSENT)
    return Reading(now, received, acked, unsent > 0, now - silent_ms / 1000)

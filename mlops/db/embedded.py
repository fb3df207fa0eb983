"""Supervisor of the embedded PostgreSQL: one private cluster below $(VAR).

The server is alive when it *connects*; a process id proves nothing. Whoever starts it
does not stop it by ending: only `stop` does, or the end of the last `lease`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from stat import S_ISDIR
from typing import IO
from urllib.parse import quote, urlencode

import psycopg

from mlops import env, processes
from mlops.db import binaries, cluster
from mlops.db.accounts import Account, account_for
from mlops.db.cluster import SUPERUSER
from mlops.db.roles import DATABASE
from mlops.db.tuning import settings_for
from mlops.errors import InvalidState, Unavailable

PORT = 5432
SOCKET_PATH_BYTES = 107
STALLED_SECONDS = 120
LOG_BYTES = 10 * 1024**2
# As the server's account: may look at all of its processes, whatever root may not.
SERVING = """
for process in /proc/[0-9]*; do
    [ "$process/cwd" -ef "$1" ] || continue
    read -r name < "$process/comm" && [ "${name#postgres}" != "$name" ] &&
        echo "${process#/proc/}"
done 2>/dev/null
:
"""


@dataclass(frozen=True, slots=True)
class Status:
    running: bool
    version: str
    pid: int | None
    socket: str
    port: int
    uptime_s: int | None
    recovering: bool
    data: str


class Embedded:
    """The cluster in `var`/pgdata (or `data`); making one of these touches nothing.

    `settings` are PostgreSQL's, beyond and above those of tuning.py. What belongs to
    the cluster stands beside its folder; its passwords are in `var`/secrets.
    """

    def __init__(
        self,
        var: Path,
        *,
        data: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.var = Path(var).resolve()
        self.data = Path(data).resolve() if data else self.var / "pgdata"
        self.settings = dict(settings or {})
        self._child: subprocess.Popen[bytes] | None = None

    # Addresses, known without the server: settings are read while it is down, too.

    @property
    def port(self) -> int:
        try:
            return int(self._beside("port").read_text())
        except FileNotFoundError:
            return PORT

    @cached_property
    def sockets(self) -> Path:
        """The folder of the socket: beside the cluster, or short and secret in /tmp.

        Addresses of sockets end at 107 bytes.
        """
        folder = self._beside("socket")
        if len(os.fsencode(folder / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES:
            return folder
        unguessable = f"{self.data}{self.password('sockets')}".encode()
        return Path("/tmp") / f"mlops-{hashlib.sha256(unguessable).hexdigest()[:16]}"

    @property
    def log(self) -> Path:
        return self._beside("log")

    def password(self, role: str) -> str:
        name = f"{role}_password"
        return env.secret(f"MLOPS_{name.upper()}", kept_in=self.var / "secrets" / name)

    def url(self, role: str, database: str = DATABASE) -> str:
        where = {"host": str(self.sockets), "port": self.port}
        password = quote(self.password(role), safe="")
        query = urlencode(where, quote_via=quote)
        return f"postgresql://{role}:{password}@/{database}?{query}"

    @property
    def superuser_url(self) -> str:
        return self.url(SUPERUSER, "postgres")

    # Start, stop, status

    def start(self, *, tied: bool = False, port: int | None = None) -> None:
        """Start the server unless it connects already; several callers make one server.

        Returns when it accepts connections, however long its recovery takes as long as
        it progresses. `tied` makes it stop when the calling process ends, even by -9.
        Raises Unavailable with the reason and what to do.
        """
        with self._locked():
            if self.connects():
                return
            self._make_way()
            if port:
                self._beside("port").write_text(str(port))
            if not cluster.is_cluster(self.data):
                password = self.password(SUPERUSER)
                cluster.initialize(self.data, self.binaries, password)
            cluster.configure(self.data, self.binaries, self._settings())
            self._start(tied)

    def stop(self) -> bool:
        """Stop it in an orderly way; False when it was not running."""
        pid = self._postmaster()
        if pid:
            processes.send([pid], signal.SIGINT)
            if not self._while_it_moves(lambda: not self._postmaster()):
                processes.send([pid], signal.SIGQUIT)
        self._end_backends()
        self._runs()
        return bool(pid)

    @contextmanager
    def lease(self) -> Iterator[Embedded]:
        """Have the server for a while, together with others; the last one out stops it.

        A holder that is killed loses its lease, so a server is left at most until the
        next one leaves.
        """
        with self._open("users") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                self.start()
                yield self
            finally:
                if _is_last(users):
                    self.stop()

    def upgrade(self, old_programs: Path) -> Path:
        """Bring the cluster to the present major; return where its copy is kept.

        Raises InvalidState while it runs.
        """
        with self._locked():
            if self._postmaster():
                raise InvalidState(f"The server of {self.data} runs: stop it first.")
            old = binaries.Binaries(old_programs, self.account)
            password = self.password(SUPERUSER)
            return cluster.upgrade(self.data, old, self.binaries, password)

    def status(self) -> Status:
        uptime, recovering = self._ask()
        return Status(
            running=uptime is not None,
            version=binaries.version_of(binaries.installed() / binaries.PROGRAMS),
            pid=self._postmaster(),
            socket=str(self.sockets),
            port=self.port,
            uptime_s=uptime,
            recovering=recovering,
            data=str(self.data),
        )

    def connects(self) -> bool:
        """Raises Unavailable when somebody answers who does not know our password."""
        return self._ask()[0] is not None

    def lives(self) -> bool:
        """Tell whether its process is there, though it may not connect yet."""
        return self._runs() or bool(self._postmaster())

    @cached_property
    def account(self) -> Account:
        return account_for(self.data, self.var)

    @cached_property
    def binaries(self) -> binaries.Binaries:
        return binaries.find(self.account, self.var / "pg")

    def _ask(self) -> tuple[int | None, bool]:
        """Return seconds up (None: it takes no connection) and whether it recovers."""
        try:
            with psycopg.connect(self.superuser_url, connect_timeout=5) as connection:
                row = connection.execute(
                    "SELECT extract(epoch FROM now() - pg_postmaster_start_time())::int"
                    ", pg_is_in_recovery()"
                ).fetchone()
            return row or (None, False)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise Unavailable(
                    f"The server at {self.sockets} refuses the password in"
                    f" {self.var}/secrets/{SUPERUSER}_password: put back the file that"
                    f" belongs to {self.data}."
                ) from None
            return None, "starting up" in str(error) or "recovery" in str(error)

    # Preparation

    def _beside(self, what: str) -> Path:
        return self.data.with_name(f"{self.data.name}.{what}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._open("lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _open(self, what: str) -> IO[str]:
        try:
            self.data.parent.mkdir(parents=True, exist_ok=True)
            return self._beside(what).open("w")
        except PermissionError as error:
            raise Unavailable(
                f"{error.filename} is not ours to write. Choose another VAR, or run as"
                " the account it belongs to."
            ) from None

    def _make_way(self) -> None:
        """Make sure that the account gets where it must; changes no folder's mode."""
        closed = self.account.first_closed([*reversed(self.data.parents)])
        if closed:
            raise Unavailable(
                f"The account {self.account.name}, which runs PostgreSQL for root,"
                f" cannot enter {closed}. Choose another VAR, or: chmod o+x {closed}"
            )
        try:
            self.sockets.mkdir(mode=0o700)
            self.account.own(self.sockets)
        except FileExistsError:
            found = self.sockets.lstat()
            private = S_ISDIR(found.st_mode) and not found.st_mode & 0o077
            if found.st_uid != self.account.uid or not private:
                raise Unavailable(
                    f"{self.sockets} is not a private folder of {self.account.name}."
                    " Remove it, it is made anew."
                ) from None

    def _settings(self) -> str:
        major = self.binaries.major
        return settings_for(self.data, self.sockets, self.port, major, self.settings)

    # The server process

    def _start(self, tied: bool) -> None:
        log = self.log.stat().st_size if self.log.exists() else 0

        def decided() -> bool:
            return self.connects() or not self.lives()

        if self._listens_elsewhere():
            self.stop()
        if self.lives():  # another caller's, recovering or on its way down
            self._while_it_moves(decided)
        if not self.lives():
            self._clear_traces()
            self._launch(tied)
        if not self._while_it_moves(decided) or not self.connects():
            raise Unavailable(f"PostgreSQL did not start: {self._tail(log)}")

    def _launch(self, tied: bool) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self._beside("log.1"))
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [self.binaries["postgres"], "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=binaries.ENVIRONMENT,
                start_new_session=True,
                # Only the supervisor ties, and it has no threads.
                preexec_fn=(  # noqa: PLW1509
                    processes.die_with_parent(signal.SIGINT) if tied else None
                ),
                **self.account.options(),
            )

    def _runs(self) -> bool:
        """Tell whether our own child runs; collects it if it has ended."""
        return self._child is not None and self._child.poll() is None

    def _serving(self) -> list[int]:
        """Find the processes of this cluster, without zombies."""
        found = subprocess.run(
            ["/bin/sh", "-c", SERVING, "sh", str(self.data)],
            capture_output=True,
            check=True,
            cwd="/",
            **self.account.options(),
        )
        return [int(pid) for pid in found.stdout.split()]

    def _postmaster(self) -> int | None:
        """Read postmaster.pid, and believe it only if that process serves this data."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return None
        return pid if pid in self._serving() else None

    def _listens_elsewhere(self) -> bool:
        """Tell whether it was started before $(VAR) moved; nobody reaches it then."""
        if not self._postmaster():
            return False
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        ours = [str(self.port), str(self.sockets)]
        return len(lines) > 4 and lines[4] != "" and lines[3:5] != ours

    def _clear_traces(self) -> None:
        """Remove what a killed server left, which a zombie or a reused pid keeps alive.

        Its backends may still be writing; they end first.
        """
        self._end_backends()
        socket = self.sockets / f".s.PGSQL.{self.port}"
        for trace in (self.data / "postmaster.pid", socket, Path(f"{socket}.lock")):
            trace.unlink(missing_ok=True)

    def _end_backends(self) -> None:
        if not cluster.is_cluster(self.data):
            return
        processes.end(self._serving, patience=10, first=signal.SIGQUIT)
        if left := self._serving():
            raise Unavailable(f"Processes {left} of a killed server do not end.")

    def _while_it_moves(self, condition: Callable[[], bool]) -> bool:
        """Wait for `condition`; False once the server has not moved for too long."""
        moved, seen = time.monotonic(), self._movement()
        while not condition():
            time.sleep(0.05)
            if time.monotonic() - moved > STALLED_SECONDS:
                return False
            if (now := self._movement()) != seen:
                moved, seen = time.monotonic(), now
        return True

    def _movement(self) -> tuple[int, int]:
        log = self.log.stat().st_size if self.log.exists() else 0
        return log, sum(processes.cpu_ticks(pid) for pid in self._serving())

    def _tail(self, start: int) -> str:
        with self.log.open("rb") as log:
            log.seek(start)
            return log.read()[-2000:].decode(errors="replace").strip()


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

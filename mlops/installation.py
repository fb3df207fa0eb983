"""What an installation keeps in $(VAR) about itself: who runs it, and its addresses."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from mlops import env, processes
from mlops.db import roles
from mlops.db.embedded import Embedded
from mlops.errors import Conflict, Unavailable

LOG_BYTES = 10 * 1024**2
OWNER_MISSING = (
    "DATABASE_URL names a role that cannot make roles, so the one that owns the tables"
    " must be named too: set OWNER_DATABASE_URL (app_owner; see manage.py"
    " bootstrap_roles), or let DATABASE_URL name a superuser for the first start."
)


@dataclass(frozen=True, slots=True)
class Supervision:
    """The process that runs an installation, and how far it has got."""

    pid: int
    started: int | None
    port: int
    phase: str


class Installation:
    def __init__(self, var: Path, port: int, base_url: str) -> None:
        self.var = var
        self.port = port
        self.base_url = base_url
        self.embedded = None if env.text("DATABASE_URL") else Embedded(var)

    def folder(self, name: str) -> Path:
        path = self.var / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def log(self, name: str) -> Path:
        """Return the file for what `name` prints; put aside what grew too long."""
        path = self.folder("log") / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    @property
    def example_done(self) -> Path:
        """The mark that the example was trained, which happens once."""
        return self.folder("run") / "example.done"

    # Who runs it

    @contextmanager
    def supervised(self) -> Iterator[None]:
        """Be the one process that runs this; the lock ends with us, even by -9.

        Raises Conflict when another one runs it.
        """
        with (self.folder("run") / "up.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"Another process runs {self.var} already.") from None
            try:
                yield
            finally:
                self._state.unlink(missing_ok=True)

    def supervision(self) -> Supervision | None:
        """Return who runs it, believing only a process that still is what it was."""
        try:
            found = Supervision(**json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None
        alive = found.started and found.started == processes.started_at(found.pid)
        return found if alive else None

    def enter(self, phase: str) -> None:
        pid = os.getpid()
        now = Supervision(pid, processes.started_at(pid), self.port, phase)
        _write(self._state, json.dumps(asdict(now)), 0o644)

    @property
    def _state(self) -> Path:
        return self.folder("run") / "up.json"

    # Databases

    def database_environment(self) -> dict[str, str]:
        """Make roles where we may; return the URLs of the three connections.

        Raises Unavailable when DATABASE_URL alone is not enough.
        """
        if self.embedded:
            self._bootstrap(self.embedded.superuser_url, roles.DATABASE)
            return self._urls(self.embedded.url("app_rw"))
        url = env.text("DATABASE_URL")
        if env.text("OWNER_DATABASE_URL"):
            return {}
        if not roles.is_privileged(url):
            raise Unavailable(OWNER_MISSING)
        self._bootstrap(url, roles.database_of(url))
        return self._urls(url)

    def _bootstrap(self, url: str, database: str) -> None:
        passwords = {role: self._password(role) for role in roles.LOGINS}
        roles.bootstrap(url, database, passwords)

    def _urls(self, url: str) -> dict[str, str]:
        return {
            name: roles.url_for(url, role, self._password(role))
            for name, role in (
                ("DATABASE_URL", "app_rw"),
                ("OWNER_DATABASE_URL", "app_owner"),
                ("ADMIN_DATABASE_URL", "app_maint"),
            )
        }

    def _password(self, role: str) -> str:
        return Embedded(self.var).password(role)

    # connection.env: what other programs need to reach us

    @property
    def connection_file(self) -> Path:
        return self.var / "connection.env"

    def connection(self) -> dict[str, str]:
        try:
            lines = self.connection_file.read_text().splitlines()
        except FileNotFoundError:
            return {}
        pairs = (line.partition("=") for line in lines)
        return {name: "".join(shlex.split(value)) for name, _, value in pairs}

    def write_connection(
        self, first_run: Mapping[str, Any], databases: Mapping[str, str]
    ) -> dict[str, str]:
        """Write what was made; secrets that are told only once are carried over."""
        kept = self.connection()
        urls = {
            name: databases.get(name) or env.text(name)
            for name in ("DATABASE_URL", "OWNER_DATABASE_URL", "ADMIN_DATABASE_URL")
        }
        told = {
            "MLFLOW_TRACKING_TOKEN": first_run["token"],
            "ADMIN_USERNAME": first_run["admin_username"],
            "ADMIN_PASSWORD": first_run["admin_password"],
        }
        values = {
            "MLFLOW_TRACKING_URI": urljoin(self.base_url, first_run["tracking_uri"]),
            "BASE_URL": self.base_url,
            **{name: value or kept.get(name, "") for name, value in told.items()},
            **urls,
        }
        text = "".join(f"{name}={shlex.quote(v)}\n" for name, v in values.items())
        _write(self.connection_file, text, 0o600)
        return values


def _write(path: Path, text: str, mode: int) -> None:
    """Replace a file so that a reader sees the old one or the new one, whole."""
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(draft).replace(path)

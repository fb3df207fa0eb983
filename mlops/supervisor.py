"""Runs an installation, database, web and jobs, until told to stop.

One process without threads. What it starts ends with it: the kernel tells children
when their parent dies, and each carries a marker by which the next start finds what
was left all the same.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from mlops import env, processes
from mlops.errors import Conflict, Unavailable
from mlops.installation import Installation
from mlops.stalls import HEAD_SECONDS

MARKER = "MLOPS_CHILD"
CHILDREN = ("prepare", "web", "worker", "packages", "example")
READY_SECONDS = 90
FAILURES_BEFORE_READY = 3
STEADY_SECONDS = 60
LONGEST_PAUSE = 30
STOP_SECONDS = 20
# Each web worker listens by itself. In a reload an old one stays so long beside its
# successor, which has Django to import first, or connections would be refused.
TAKEOVER_SECONDS = 10
LARGEST_HEAD_BYTES = 64 * 1024
EXAMPLE_PACKAGES = ("mlflow", "sklearn", "matplotlib")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop(BaseException):
    """A signal asked us to stop; nothing but the supervisor may catch it."""


class Child:
    """A process of ours, which `look_after` starts again if it ends."""

    def __init__(
        self, installation: Installation, name: str, command: list[str], **own: str
    ) -> None:
        self.name = name
        self.command = command
        self.log = installation.log(name)
        self.marker = _marker(installation.var, name)
        self.failures = 0
        self._own = own
        self._printed = self.log.stat().st_size if self.log.exists() else 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._due = time.monotonic()

    def start(self, environment: Mapping[str, str], output: int | None = None) -> None:
        marker, _, value = self.marker.partition("=")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output or log,
                stderr=log,
                env={**os.environ, **environment, **self._own, marker: value},
                start_new_session=True,
                # There are no threads here.
                preexec_fn=processes.die_with_parent(signal.SIGTERM),  # noqa: PLW1509
            )
        self._started = time.monotonic()

    def output(self) -> bytes:
        """Return all that it prints once it has ended, if it started with a pipe."""
        assert self._process
        return self._process.communicate()[0]

    @property
    def result(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll() if self._process else None

    def look_after(self, environment: Mapping[str, str]) -> bool:
        """Start it again some time after it ended; tell whether it just ended."""
        if self._process and self.result is None:
            return False
        ended, self._process = self._process is not None, None
        if ended:
            steady = time.monotonic() - self._started > STEADY_SECONDS
            self.failures = 1 if steady else self.failures + 1
            pause = min(LONGEST_PAUSE, 0.25 * 2**self.failures)
            self._due = time.monotonic() + pause
        elif time.monotonic() > self._due:
            # What a killed one left behind still holds its port.
            processes.end(lambda: processes.carrying(self.marker), 5, signal.SIGTERM)
            self.start(environment)
        return ended

    def send(self, number: int) -> None:
        if self._process:
            self._process.send_signal(number)

    def tail(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._printed)
            return log.read()[-3000:].decode(errors="replace").strip()


class Supervisor:
    """`say` tells the user what goes on; `example` is run once, on the first start."""

    def __init__(
        self,
        installation: Installation,
        repository: Path,
        *,
        say: Callable[[str], None],
        example: bool = True,
    ) -> None:
        self.installation = installation
        self.repository = repository
        self.say = say
        self.example = example and not installation.example_done.exists()
        self.host = env.text("HOST", "127.0.0.1")
        self.environment = {
            "VAR": str(installation.var),
            "PORT": str(installation.port),
            "BASE_URL": installation.base_url,
            "PYTHONUNBUFFERED": "1",
        }
        self.web = self._child("web", self._web_command())
        self.worker = self._child(
            "worker",
            self._manage(
                "procrastinate",
                "worker",
                # A long job must not keep the short ones from their moments.
                "--concurrency=4",
                "--shutdown-graceful-timeout=10",
            ),
            PROCRASTINATE_DATABASE_ALIAS="admin",
        )

    def run(self, when_ready: Callable[[], None]) -> None:
        """Start everything, stay until a signal, stop everything.

        Raises Unavailable or Conflict when it cannot start; nothing is left running.
        """
        with self.installation.supervised():
            try:
                _stop_on_signals()
                self._start()
                when_ready()
                self._stay()
            except Stop:
                self.say("Stopping.")
            finally:
                for number in SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                end_all(self.installation)

    def _start(self) -> None:
        installation = self.installation
        installation.enter("database")
        end_children(installation)
        self._claim_port()
        if installation.embedded:
            self.say(f"Starting PostgreSQL in {installation.embedded.data}")
            installation.embedded.start(tied=True)
        databases = installation.database_environment()
        self.environment |= databases
        installation.enter("preparing")
        self.say("Migrating and preparing")
        installation.write_connection(self._prepare(), databases)
        installation.enter("starting")
        self.say(f"Starting web and worker at {installation.base_url}")
        for child in (self.web, self.worker):
            child.start(self.environment)
        self._await_ready()
        installation.enter("ready")

    def _claim_port(self) -> None:
        port = self.installation.port
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host, port), family=family).close()
        except OSError as error:
            raise Conflict(
                f"Port {port} of {self.host} cannot be had:"
                f" {os.strerror(error.errno or 0)}."
                " Choose another: make up PORT=8100"
            ) from None

    def _prepare(self) -> dict[str, Any]:
        child = self._child("prepare", self._manage("prepare", "--json"))
        child.start(self.environment, subprocess.PIPE)
        printed = child.output()
        if child.result:
            raise Unavailable(f"Preparing failed; from {child.log}:\n{child.tail()}")
        first_run: dict[str, Any] = json.loads(printed)
        return first_run

    def _await_ready(self) -> None:
        deadline, answer = time.monotonic() + READY_SECONDS, ""
        while (answer := self._health()) != "200":
            self._look_after(self.web, self.worker)
            too_often = self.web.failures >= FAILURES_BEFORE_READY
            if too_often or time.monotonic() > deadline:
                raise Unavailable(
                    f"The web server did not become ready ({answer}); from"
                    f" {self.web.log}:\n{self.web.tail()}"
                )
            time.sleep(0.1)

    def _health(self) -> str:
        """Ask as the proxy in front would: with a name that is allowed, by https."""
        host = "127.0.0.1" if self.host in {"", "0.0.0.0"} else self.host
        allowed = [*env.words("ALLOWED_HOSTS"), host][0].lstrip(".")
        headers = {
            "Host": host if allowed == "*" else allowed,
            "X-Forwarded-Proto": "https",
        }
        web = http.client.HTTPConnection(host, self.installation.port, timeout=10)
        try:
            web.request("GET", "/health/ready", headers=headers)
            answer = web.getresponse()
            words = answer.read(200).decode(errors="replace").strip()
            return "200" if answer.status == 200 else f"{answer.status} {words}"
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        finally:
            web.close()

    def _stay(self) -> NoReturn:
        errands = self._errands()
        database_due = 0.0
        while True:
            self._look_after(self.web, self.worker)
            if self.installation.embedded and time.monotonic() > database_due:
                database_due = time.monotonic() + self._look_after_database()
            next(errands, None)
            time.sleep(0.2)

    def _look_after(self, *children: Child) -> None:
        for child in children:
            if child.look_after(self.environment):
                self.say(f"{child.name} ended and is started again; see {child.log}")

    def _look_after_database(self) -> float:
        """Start it again if it ended; return after how many seconds to look again."""
        database = self.installation.embedded
        assert database
        if database.lives():
            return 2
        self.say(f"PostgreSQL ended and is started again; see {database.log}")
        try:
            database.start(tied=True)
            return 2
        except Unavailable as error:
            self.say(str(error))
            return LONGEST_PAUSE

    # What is done once, beside serving

    def _errands(self) -> Iterator[None]:
        """Install what the example needs, and run it; yields while it waits."""
        if not _are_installed(EXAMPLE_PACKAGES):
            self.say("Installing the MLflow client and what the example needs")
            requirements = self.repository / "examples" / "requirements.txt"
            pip = [sys.executable, "-m", "pip", "install", "--quiet"]
            yield from self._errand("packages", [*pip, "-r", str(requirements)])
            self.web.send(signal.SIGHUP)  # its workers find MLflow's pages now
        if self.example and _are_installed(EXAMPLE_PACKAGES):
            self.say("Training the example")
            script = self.repository / "examples" / "train.py"
            result = yield from self._errand("example", [sys.executable, str(script)])
            if result == 0:
                self.installation.example_done.touch()
        self.installation.enter("complete")

    def _errand(self, name: str, command: list[str]) -> Generator[None, None, int]:
        own = self.installation.connection()
        client = {key: own[key] for key in own if key.startswith("MLFLOW_")}
        child = self._child(name, command, **client)
        child.start(self.environment)
        while (result := child.result) is None:
            yield
        if result:
            self.say(f"{name} failed; from {child.log}:\n{child.tail()}")
        return result

    # Commands

    def _child(self, name: str, command: list[str], **own: str) -> Child:
        return Child(self.installation, name, command, **own)

    def _manage(self, *words: str) -> list[str]:
        return [sys.executable, str(self.repository / "manage.py"), *words]

    def _web_command(self) -> list[str]:
        options = {
            "--interface": "wsgi",
            "--host": self.host,
            "--port": str(self.installation.port),
            "--workers": env.text("WEB_WORKERS", "2"),
            # A thread for each connection, so that no request waits unseen: how many
            # are worked on at once is for mlops/overload.py to say (WEB_THREADS).
            "--blocking-threads": env.text("WEB_CONNECTIONS", "256"),
            "--backpressure": env.text("WEB_CONNECTIONS", "256"),
            "--http": "1",
            "--http1-header-read-timeout": str(HEAD_SECONDS * 1000),
            "--http1-buffer-size": str(LARGEST_HEAD_BYTES),
            "--workers-kill-timeout": "10",
            "--respawn-interval": str(TAKEOVER_SECONDS),
            "--working-dir": str(self.repository),
        }
        words = [word for option in options.items() for word in option]
        flags = ["--no-ws", "--respawn-failed-workers"]
        start = [sys.executable, "-m", "granian", "mlops.wsgi:application"]
        return [*start, *words, *flags]


def end_all(installation: Installation) -> None:
    """Leave no process of this installation behind: children, then the database."""
    end_children(installation)
    if installation.embedded:
        installation.embedded.stop()


def end_children(installation: Installation) -> None:
    markers = [_marker(installation.var, name) for name in CHILDREN]
    processes.end(lambda: processes.carrying(*markers), STOP_SECONDS, signal.SIGTERM)


def _marker(var: Path, name: str) -> str:
    return f"{MARKER}={var}:{name}"


def _stop_on_signals() -> None:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Stop

    for number in SIGNALS:
        # nohup means it; a shell that ignores Ctrl-C for its background jobs does not.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def _are_installed(packages: tuple[str, ...]) -> bool:
    importlib.invalidate_caches()
    return all(find_spec(package) for package in packages)

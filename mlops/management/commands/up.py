from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from argparse import SUPPRESS
from typing import IO, Any

from django.conf import settings
from django.core.management.base import CommandParser

from mlops import env
from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import Conflict, Unavailable
from mlops.installation import Installation, Supervision
from mlops.supervisor import Supervisor

EXPORTED = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN")


class Command(MaintenanceCommand):
    help = "Run database, web and jobs until Ctrl-C, or with --detach until `down`."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument(
            "--detach", action="store_true", help="return as soon as it is ready"
        )
        parser.add_argument(
            "--no-example",
            dest="example",
            action="store_false",
            help="do not train the example on the first start",
        )

        # How --detach calls the other half of itself, which leaves the telling to it.
        parser.add_argument("--followed", action="store_true", help=SUPPRESS)

    def work(self, **options: Any) -> Report:
        if options["json"] and not options["detach"]:
            raise UsageError("--json is for --detach; in front it talks to people.")
        port = options["port"]
        base_url = env.text("BASE_URL", f"http://127.0.0.1:{port}").rstrip("/")
        self.installation = Installation(settings.VAR, port, base_url)
        if options["dry_run"]:
            return Report(lines=[f"Would run {settings.VAR} at {base_url}."])
        if running := self.installation.supervision():
            return self._already(running)
        if options["detach"]:
            return self._report(self._detached())
        Supervisor(
            self.installation,
            settings.BASE_DIR,
            say=self._say,
            example=options["example"],
        ).run(self._when_ready)
        return Report()

    def _when_ready(self) -> None:
        if not self.options["followed"]:
            self._say("\n".join(self._report(os.getpid()).lines))

    def _already(self, running: Supervision) -> Report:
        if running.port != self.installation.port:
            raise Conflict(
                f"{settings.VAR} runs already, on port {running.port}."
                " Stop it first (make down), or choose another VAR."
            )
        self._say("It runs already.")
        return self._report(running.pid)

    def _say(self, line: str) -> None:
        if not self.options["quiet"] and not self.options["json"]:
            self.stdout.write(line)
            self.stdout.flush()

    # In the background

    def _detached(self) -> int:
        """Start a supervisor in a session of its own, and follow it until ready."""
        log = self.installation.log("up")
        with log.open("ab") as output, log.open("rb") as printed:
            printed.seek(0, os.SEEK_END)
            supervisor = subprocess.Popen(
                self._in_front(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            try:
                self._follow(supervisor, printed)
            except KeyboardInterrupt:
                supervisor.terminate()
                supervisor.wait()
                raise
        return supervisor.pid

    def _follow(self, supervisor: subprocess.Popen[bytes], printed: IO[bytes]) -> None:
        """Repeat what it prints until it is ready; raises Unavailable if it ends."""
        said, is_ready = "", False
        while not is_ready:
            time.sleep(0.2)
            is_ready = self._is_ready(supervisor.pid)
            ended = supervisor.poll() is not None
            new = printed.read().decode(errors="replace").strip()
            said = new.removeprefix("CommandError: ") or said
            if ended:
                raise Unavailable(f"{said}\nAll it said is in {printed.name}")
            if new:
                self._say(new)

    def _in_front(self) -> list[str]:
        manage = str(settings.BASE_DIR / "manage.py")
        port = f"--port={self.installation.port}"
        command = [sys.executable, manage, "up", "--followed", port]
        return command if self.options["example"] else [*command, "--no-example"]

    def _is_ready(self, pid: int) -> bool:
        found = self.installation.supervision()
        if found is None or found.pid != pid:
            return False
        is_trained = self.installation.example_done.exists()
        if self.options["example"] and not is_trained:
            return found.phase == "complete"
        return found.phase in {"ready", "complete"}

    # What people want to know then

    def _report(self, pid: int) -> Report:
        installation, url = self.installation, self.installation.base_url
        connection = installation.connection()
        own = {
            "pid": pid,
            "base_url": url,
            "tracking_uri": connection.get("MLFLOW_TRACKING_URI"),
            "connection_env": str(installation.connection_file),
        }
        lines = [
            "",
            f"Ready at {url}",
            f"  admin      {url}/admin/",
            f"  REST       {url}/api/v1/docs/",
            f"  MLflow     {connection.get('MLFLOW_TRACKING_URI')}",
            f"  sign in as {connection.get('ADMIN_USERNAME')}",
            f"  password   {self._secret('ADMIN_PASSWORD')}",
            "",
            "Point a script of yours at it:",
            f"  export MLFLOW_TRACKING_URI={connection.get('MLFLOW_TRACKING_URI')}",
            f"  export MLFLOW_TRACKING_TOKEN={self._secret('MLFLOW_TRACKING_TOKEN')}",
            "",
            f"All of this is in {installation.connection_file}",
            f"Logs are in {installation.folder('log')}",
        ]
        return Report(own=own, lines=lines)

    def _secret(self, name: str) -> str:
        """Show a secret to a terminal; to a file or pipe, how to read it."""
        if self.stdout.isatty():
            return shlex.quote(self.installation.connection().get(name, ""))
        path = shlex.quote(str(self.installation.connection_file))
        return f"$(sed -n s/^{name}=//p {path})"

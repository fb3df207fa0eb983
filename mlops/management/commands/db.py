from __future__ import annotations

import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from mlops import env
from mlops.cli import Finding, MaintenanceCommand, Report, UsageError
from mlops.db import cluster
from mlops.db.embedded import Embedded
from mlops.errors import Unavailable

ACTIONS = ("start", "stop", "status", "logs", "psql", "upgrade")


class Command(MaintenanceCommand):
    help = "Start, stop, look at or upgrade the embedded PostgreSQL."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=ACTIONS)
        parser.add_argument("--data", type=Path, help="another cluster's folder")
        parser.add_argument("--port", type=int, help="start: port, kept from then on")
        parser.add_argument(
            "--tcp", action="store_true", help="start: listen on 127.0.0.1, too"
        )
        parser.add_argument("--lines", type=int, default=50, help="logs: how many")
        parser.add_argument("--role", default="app_maint", help="psql: who to be")
        parser.add_argument(
            "--old-programs", type=Path, help="upgrade: bin folder of the old major"
        )

    def work(self, **options: Any) -> Report:
        if env.text("DATABASE_URL") and not options["data"]:
            raise Unavailable(
                "DATABASE_URL names the database, so there is no embedded one here."
                " Unset it, or name a cluster with --data."
            )
        more = {"listen_addresses": "127.0.0.1"} if options["tcp"] else {}
        server = Embedded(settings.VAR, data=options["data"], settings=more)
        act = getattr(self, f"_{options['action']}")
        return act(server)

    def _start(self, server: Embedded) -> Report:
        if self.options["dry_run"]:
            return Report(lines=[f"Would start PostgreSQL in {server.data}."])
        server.start(port=self.options["port"])
        return self._status(server)

    def _stop(self, server: Embedded) -> Report:
        if self.options["dry_run"]:
            return Report(lines=[f"Would stop PostgreSQL in {server.data}."])
        stopped = server.stop()
        line = "Stopped." if stopped else "It was not running."
        return Report(own=asdict(server.status()), lines=[line])

    def _status(self, server: Embedded) -> Report:
        status = server.status()
        findings = []
        if status.recovering and not status.running:
            findings.append(Finding("embedded", "warning", status.data, "recovering"))
        elif not status.running:
            advice = "Run: manage.py db start"
            findings.append(
                Finding("embedded", "critical", status.data, "down", advice=advice)
            )
        if cluster.is_cluster(server.data):
            findings += _wrong_major(server, status.version)
        lines = [f"{name}: {value}" for name, value in asdict(status).items()]
        return Report(own=asdict(status), lines=lines, findings=findings)

    def _logs(self, server: Embedded) -> Report:
        if not server.log.exists():
            raise Unavailable(f"{server.log} does not exist: it was never started.")
        last = server.log.read_text(errors="replace").splitlines()
        last = last[-self.options["lines"] :]
        return Report(own={"log": str(server.log), "lines": last}, lines=last)

    def _psql(self, server: Embedded) -> Report:
        if self.options["json"]:
            raise UsageError("psql talks to people; leave --json out.")
        role = self.options["role"]
        psql = server.binaries["psql"]
        where = ["-h", str(server.sockets), "-p", str(server.port), "-U", role]
        subprocess.run(
            [psql, *where, "-d", "mlops"],
            check=False,
            env=os.environ | {"PGPASSWORD": server.password(role)},
        )
        return Report()

    def _upgrade(self, server: Embedded) -> Report:
        held, major = cluster.major_of(server.data), server.binaries.major
        if held == major:
            return Report(own={"from": held, "to": major, "backup": None})
        old = self.options["old_programs"] or _kept(server, held)
        plan = f"copy {server.data}, then upgrade it from {held} to {major}"
        if not self.confirm(f"This would {plan}."):
            return Report(lines=[f"Would {plan}, with {old}."])
        backup = server.upgrade(old)
        return Report(
            own={"from": held, "to": major, "backup": str(backup)},
            lines=[f"Upgraded to {major}. Remove {backup} when all is well."],
        )


def _wrong_major(server: Embedded, version: str) -> list[Finding]:
    held = cluster.major_of(server.data)
    if version.startswith(f"{held}."):
        return []
    advice = "Run: manage.py db upgrade"
    return [Finding("major", "critical", str(server.data), held, version, advice)]


def _kept(server: Embedded, major: int) -> Path:
    """Find programs of an old major that were copied to $(VAR)/pg once."""
    for programs in (server.var / "pg").glob(f"{major}.*/*/pginstall/bin"):
        return programs
    raise UsageError(
        f"The programs of PostgreSQL {major} are not in {server.var}/pg;"
        " name their folder with --old-programs."
    )

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connections

from audit import sealing
from audit.sql.sealing import outlook
from mlops.cli import Finding, MaintenanceCommand, Report, UsageError

YOUNGEST_BOUND = 1


class Command(MaintenanceCommand):
    help = "Seal the audit entries that are in no seal yet, as the worker does."
    database = settings.ADMIN_ALIAS

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--checkpoint",
            action="store_true",
            help="once after a restore into another cluster: seal what was left"
            " unsealed there and begin an epoch",
        )
        parser.add_argument(
            "--batch",
            type=int,
            default=sealing.MOST,
            help=f"entries of a round, about; default {sealing.MOST}",
        )

    def work(self, **options: Any) -> Report:
        if options["batch"] < YOUNGEST_BOUND:
            raise UsageError(f"--batch={options['batch']}: use 1 or more.")
        connection = connections[options["database"]]
        if options["dry_run"]:
            return self._plan()
        self.heed_signals()
        if options["checkpoint"]:
            question = "Close the epoch of the audit trail and begin another?"
            if not self.confirm(question):
                return Report(lines=["Nothing was done."])
            done = sealing.checkpoint(connection)
        else:
            done = sealing.seal_all(
                connection,
                most=options["batch"],
                told=lambda total: self.progress(f"{total.entries} entries sealed"),
                is_stopping=lambda: self.stopping,
            )
        return self._report(done)

    def _plan(self) -> Report:
        connection = connections[self.options["database"]]
        if self.options["checkpoint"]:
            epoch = outlook(connection).epoch
            return Report(lines=[f"Would close epoch {epoch} and begin {epoch + 1}."])
        sealing.refuse_foreign(outlook(connection))
        waiting = sealing.lag(connection)
        line = "Nothing waits to be sealed."
        if waiting:
            line = f"Would seal entries of the last {waiting.total_seconds():.0f} s."
        return Report(own={"lag_s": waiting.total_seconds()}, lines=[line])

    def _report(self, done: sealing.Round) -> Report:
        own = {
            "seals": done.seals,
            "entries": done.entries,
            "unattributed": done.unattributed,
        }
        report = Report(own, [f"{done.entries} entries sealed by {done.seals} seals."])
        if done.unattributed:
            report.findings.append(
                Finding(
                    "unattributed",
                    "warning",
                    "audit_logs",
                    done.unattributed,
                    advice="Somebody changed rows past the application; look at them.",
                )
            )
        if done.is_full:
            advice = "Run it again to seal the rest."
            report.findings.append(
                Finding("stopped", "warning", "audit_logs", advice=advice)
            )
        return report

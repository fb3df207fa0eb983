from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from mlops.cli import Finding, MaintenanceCommand, Report, UsageError
from registry.management.scopes import add_scope_options, scopes_of
from registry.services.cleanup import (
    BLOB_GRACE,
    Cutoffs,
    Tally,
    clean_up,
    plan,
)
from registry.services.scopes import Scope

NAME = "command:cleanup_packages"
STEPS_OF_PROGRESS = 100


class Command(MaintenanceCommand):
    help = (
        "Let packages go by the retention rules of their projects, then their files,"
        " then bytes that nothing refers to. Says what it would do; --yes does it."
    )
    database = settings.ADMIN_ALIAS
    alone = True

    def add_options(self, parser: CommandParser) -> None:
        add_scope_options(parser)
        parser.add_argument(
            "--grace-days",
            type=float,
            help="how long a deleted package may be restored; default: as long as its"
            " organization keeps what was deleted",
        )
        parser.add_argument(
            "--blob-grace-hours",
            type=float,
            default=BLOB_GRACE / timedelta(hours=1),
            help="how long stored bytes wait for a row; default %(default)s",
        )

    def work(self, **options: Any) -> Report:
        self.heed_signals()
        cutoffs = self._cutoffs(options)
        applied = options["yes"] and not options["dry_run"]
        tally, scopes = Tally(), scopes_of(NAME, options)
        for scope in scopes:
            if self.stopping:
                break
            bound = scope.bound_as(NAME, reason="retention rules")
            if applied:
                self._apply(scope, tally, cutoffs, bound)
            else:
                plan(scope, tally, cutoffs, bound)
        return self._report(tally, applied)

    def _cutoffs(self, options: dict[str, Any]) -> Cutoffs:
        days = options["grace_days"]
        if days is not None and days < 0:
            raise UsageError(f"--grace-days={days}: use 0 or more days.")
        if options["blob_grace_hours"] < 1:
            raise UsageError(
                f"--blob-grace-hours={options['blob_grace_hours']}: an upload under way"
                " needs 1 hour at least."
            )
        return Cutoffs.at(
            timezone.now(),
            grace=None if days is None else timedelta(days=days),
            blob_grace=timedelta(hours=options["blob_grace_hours"]),
        )

    def _apply(self, scope: Scope, tally: Tally, cutoffs: Cutoffs, bound: Any) -> None:
        for step, _ in enumerate(clean_up(scope, tally, cutoffs, bound)):
            if self.stopping:
                return
            if step % STEPS_OF_PROGRESS == 0:
                self.progress(f"{scope.slug}: {sentence(tally, applied=True)}")

    def _report(self, tally: Tally, applied: bool) -> Report:
        report = Report(
            own={
                "applied": applied,
                "marked": tally.marked,
                "destroyed": tally.destroyed,
                "blobs": tally.blobs,
                "bytes": tally.size_bytes,
                "rules": tally.rules,
            },
            lines=[rule_line(rule, applied) for rule in tally.rules],
        )
        report.lines.append(sentence(tally, applied))
        if self.stopping:
            report.findings.append(
                Finding("stopped", "warning", NAME, advice="Run it again to go on.")
            )
        return report


def rule_line(rule: dict[str, Any], applied: bool) -> str:
    where = f"{rule['organization']}/{rule['project']}"
    verb = "marks" if applied else "would mark"
    return f"{where}: {rule['rule']} {verb} {rule['packages']} packages"


def sentence(tally: Tally, applied: bool) -> str:
    would = "" if applied else "would be "
    return (
        f"{tally.marked} packages {would}marked, {tally.destroyed} {would}destroyed,"
        f" {tally.blobs} blobs {would}removed ({tally.size_bytes} bytes)."
    )

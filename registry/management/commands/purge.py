from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from mlops.cli import Finding, MaintenanceCommand, NotChecked, Report, UsageError
from mlops.errors import Unavailable
from registry.management.scopes import add_scope_options, scopes_of
from registry.services import purging
from registry.services.purging import Asked, Tally
from registry.services.scopes import Scope

NAME = "command:purge"
REASON = "what was deleted long enough ago"
STEPS_OF_PROGRESS = 20
DAYS = re.compile(r"(\d{1,5})(?:d|days?)?")


class Command(MaintenanceCommand):
    help = (
        "Remove for good what was deleted and may no longer be restored: all of it, or"
        " with --runs and --experiments these alone. Says what it would do; --yes does"
        " it."
    )
    database = settings.ADMIN_ALIAS

    def add_options(self, parser: CommandParser) -> None:
        add_scope_options(parser)
        parser.add_argument(
            "--older-than",
            metavar="DAYS",
            help="deleted so many days ago, such as 30 or 30d; default: as long as its"
            " organization keeps what was deleted",
        )
        parser.add_argument("--runs", help="ids of deleted runs, with commas between")
        parser.add_argument(
            "--experiments",
            help="numbers of deleted experiments of --project, with commas between",
        )
        parser.add_argument(
            "--batch",
            type=int,
            default=purging.BATCH,
            help="rows in one transaction; default %(default)s",
        )
        parser.add_argument(
            "--max-seconds", type=float, help="stop after the step under way by then"
        )

    def work(self, **options: Any) -> Report:
        self.heed_signals()
        self.until = self._until(options)
        if not 1 <= options["batch"] <= 10_000:
            raise UsageError(f"--batch={options['batch']}: use 1 to 10000 rows.")
        scopes = scopes_of(NAME, options)
        asked = self._asked(scopes, options)
        report, tally = Report(), Tally()
        applied = options["yes"] and not options["dry_run"]
        for scope in scopes:
            if self._is_over():
                break
            self._work_on(scope, tally, asked, report, options if applied else None)
        self._tell_of(tally, report, applied)
        return report

    def _until(self, options: dict[str, Any]) -> float | None:
        seconds = options["max_seconds"]
        if seconds is not None and seconds <= 0:
            raise UsageError(f"--max-seconds={seconds}: use more than 0.")
        return None if seconds is None else time.monotonic() + seconds

    def _is_over(self) -> bool:
        late = self.until is not None and time.monotonic() >= self.until
        return self.stopping or late

    def _asked(self, scopes: list[Scope], options: dict[str, Any]) -> Asked:
        now, days = timezone.now(), options["older_than"]
        before = None if days is None else now - timedelta(days=days_of(days))
        numbers = numbers_of(options["experiments"])
        if numbers and not options["project"]:
            raise UsageError("--experiments are numbered by project; add --project.")
        experiments: tuple[UUID, ...] = ()
        if numbers:
            with scopes[0].bound_as(NAME, reason=REASON)():
                experiments = purging.experiments_of(scopes[0], numbers)
        return Asked(now, before, runs_of(options["runs"]), experiments)

    def _work_on(
        self,
        scope: Scope,
        tally: Tally,
        asked: Asked,
        report: Report,
        options: dict[str, Any] | None,
    ) -> None:
        bound = scope.bound_as(NAME, reason=REASON)
        if options is None:
            purging.plan(scope, tally, asked, bound)
            return
        steps = purging.purge(scope, tally, asked, bound, batch=options["batch"])
        try:
            with purging.alone(scope):
                self._run(scope, steps, tally)
        except Unavailable as error:
            report.not_checked.append(NotChecked(scope.slug, error.message))

    def _run(self, scope: Scope, steps: Any, tally: Tally) -> None:
        for count, _ in enumerate(steps):
            if count % STEPS_OF_PROGRESS == 0:
                self.progress(f"{scope.slug}: {sum(tally.rows.values())} rows")
            if self._is_over():
                return

    def _tell_of(self, tally: Tally, report: Report, applied: bool) -> None:
        report.own = {
            "applied": applied,
            "purged": +tally.purged,
            "held": +tally.held,
            "rows": +tally.rows,
            "on_hold": tally.on_hold,
        }
        verb = "purged" if applied else "would be purged"
        report.lines = [
            f"{count} {noun}: {verb}" for noun, count in sorted((+tally.purged).items())
        ]
        report.lines += [
            f"{count} {noun}: kept, as model versions or deployments refer to them"
            for noun, count in sorted((+tally.held).items())
        ]
        report.lines += [f"{slug}: on legal hold" for slug in tally.on_hold]
        report.lines.append(f"{sum(tally.rows.values())} rows {verb}.")
        for table, share in purging.deleted_shares(self.options["database"]):
            report.findings.append(
                Finding(
                    "deleted_share",
                    "warning",
                    table,
                    value=round(share, 2),
                    threshold=purging.MOST_DELETED,
                    advice="Purge more often, or keep what was deleted for less long.",
                )
            )
        if applied and self._is_over():
            report.findings.append(
                Finding("stopped", "warning", NAME, advice="Run it again to go on.")
            )


def days_of(text: str) -> int:
    found = DAYS.fullmatch(text.strip())
    if not found:
        raise UsageError(f"--older-than={text!r}: use days, such as 30 or 30d.")
    return int(found[1])


def runs_of(text: str | None) -> tuple[UUID, ...]:
    try:
        return tuple(UUID(each) for each in parts_of(text))
    except ValueError:
        raise UsageError(f"--runs={text!r}: use ids of runs.") from None


def numbers_of(text: str | None) -> tuple[int, ...]:
    parts = parts_of(text)
    if not all(each.isdecimal() and len(each) < 19 for each in parts):
        raise UsageError(f"--experiments={text!r}: use numbers of experiments.")
    return tuple(map(int, parts))


def parts_of(text: str | None) -> list[str]:
    return [each.strip() for each in (text or "").split(",") if each.strip()]

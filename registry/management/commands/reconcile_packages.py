from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from mlops.cli import Finding, MaintenanceCommand, Report, UsageError
from registry.management.scopes import add_scope_options, scopes_of
from registry.services import repairs
from registry.services.reconcile import Discrepancy, Kind, batches
from registry.services.scopes import Scope
from registry.storage.inventory import settle_interrupted

NAME = "command:reconcile_packages"
CRITICAL = frozenset({Kind.ROW_WITHOUT_BLOB, Kind.FOREIGN_NAME, Kind.DUPLICATE})
# More lost at once than this looks like a store that is not there, not like loss.
FEW = 100
SHARE = 0.1


class Command(MaintenanceCommand):
    help = (
        "Find packages, rows and bytes that do not fit together; --fix puts them right."
    )
    database = settings.ADMIN_ALIAS
    alone = True

    def add_options(self, parser: CommandParser) -> None:
        add_scope_options(parser)
        parser.add_argument("--fix", action="store_true", help="put all of it right")
        parser.add_argument(
            "--grace-hours",
            type=float,
            default=24,
            help="leave alone bytes that were stored within so many hours; default 24",
        )
        parser.add_argument(
            "--accept-loss",
            action="store_true",
            help="forget files whose bytes are missing, however many they are",
        )

    def work(self, **options: Any) -> Report:
        if options["grace_hours"] < 1:
            raise UsageError(
                f"--grace-hours={options['grace_hours']}: an upload under way needs 1"
                " hour at least."
            )
        self.heed_signals()
        self.before = timezone.now() - timedelta(hours=options["grace_hours"])
        self.fixing = options["fix"] and not options["dry_run"]
        self.report = Report(own={"checked": 0, "findings": [], "fixed": 0}, fixed=True)
        if self.fixing:
            settle_interrupted(before=self.before)
        for scope in scopes_of(NAME, options):
            if not self.stopping:
                self._reconcile(scope)
        self._conclude()
        return self.report

    def _reconcile(self, scope: Scope) -> None:
        lost: list[Discrepancy] = []
        bound = scope.bound_as(NAME, reason="reconciling packages")
        checked = 0
        for batch in batches(scope, before=self.before, bound=bound):
            checked += batch.checked
            for found in batch.found:
                if found.kind == Kind.ROW_WITHOUT_BLOB:
                    lost.append(found)
                else:
                    self._note(scope, found, fix=self.fixing)
            self.progress(f"{scope.slug}: {checked} rows looked at")
            if self.stopping:
                break
        # Whether these are few is known only now.
        few = len(lost) <= max(FEW, SHARE * checked) or self.options["accept_loss"]
        for found in lost:
            self._note(scope, found, fix=self.fixing and few)
        if lost and not few:
            self.report.lines.append(
                f"{scope.slug}: {len(lost)} blobs lack their bytes. Is the store there?"
                " Nothing was forgotten; add --accept-loss if they are gone for good."
            )
        self.report.own["checked"] += checked

    def _note(self, scope: Scope, found: Discrepancy, *, fix: bool) -> None:
        fixed = fix and self._fix(scope, found)
        own = self.report.own
        own["fixed"] += fixed
        own["findings"].append(
            {
                "kind": found.kind,
                "package": found.package,
                "run": found.run,
                "detail": found.detail,
            }
        )
        if fixed and found.kind != Kind.ROW_WITHOUT_BLOB:
            self.report.lines.append(f"fixed: {found.kind}: {found.detail}")
        else:
            self.report.findings.append(self._finding(found, fixed))

    def _fix(self, scope: Scope, found: Discrepancy) -> bool:
        reason = f"reconciling packages: {found.kind}"
        with scope.bound_as(NAME, reason=reason)():
            return repairs.repair(found, before=self.before)

    def _finding(self, found: Discrepancy, fixed: bool) -> Finding:
        """Files that were lost remain a warning, also when they are forgotten."""
        grave = found.kind in CRITICAL and not fixed
        return Finding(
            str(found.kind),
            "critical" if grave else "warning",
            found.package or found.name,
            found.detail,
            advice="" if self.fixing else "Add --fix to put it right.",
        )

    def _conclude(self) -> None:
        own = self.report.own
        if self.stopping:
            advice = "Run it again to look at all of it."
            self.report.findings.append(
                Finding("stopped", "warning", NAME, advice=advice)
            )
        found = len(own["findings"])
        self.report.lines.append(
            f"{own['checked']} rows checked, {found} findings, {own['fixed']} fixed."
        )

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from mlops.cli import Finding, MaintenanceCommand, Report
from registry.management.scopes import add_scope_options, scopes_of
from registry.services import storage_usage
from registry.sql.storage_usage import Compared
from tenants.context import acting_as

NAME = "command:recount_storage"


class Command(MaintenanceCommand):
    help = (
        "Compare the counters of storage with what packages hold; --fix puts them"
        " right while uploads go on."
    )
    database = settings.ADMIN_ALIAS
    alone = True

    def add_options(self, parser: CommandParser) -> None:
        add_scope_options(parser)
        parser.add_argument("--fix", action="store_true", help="put them right")

    def work(self, **options: Any) -> Report:
        scopes_of(NAME, options)  # refuses names that are none
        self.heed_signals()
        using = options["database"]
        rows = storage_usage.compare(
            using, organization=options["organization"], project=options["project"]
        )
        wrong = [row for row in rows if not row.is_right]
        fixing = options["fix"] and not options["dry_run"]
        fixed = self._fix(wrong) if fixing else 0
        report = Report(
            own={"projects": len(rows), "wrong": len(wrong), "fixed": fixed},
            lines=[f"{len(rows)} projects, {len(wrong)} wrong, {fixed} put right."],
        )
        report.findings.extend(finding(row) for row in wrong[fixed:])
        return report

    def _fix(self, wrong: list[Compared]) -> int:
        """Each project in a transaction of its own: uploads wait for no other's."""
        for done, row in enumerate(wrong):
            if self.stopping:
                return done
            organization = row.organization_id
            with acting_as(NAME, organization=organization, reason="recounting"):
                storage_usage.recount(row)
        return len(wrong)


def finding(row: Compared) -> Finding:
    return Finding(
        "storage_usage",
        "warning",
        f"{row.organization}/{row.project}",
        f"{row.counted_bytes} bytes in {row.counted_files} files",
        f"{row.size_bytes} bytes in {row.file_count} files",
        "Add --fix to put it right.",
    )

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connections

from audit import archives, archiving
from audit.archives import Damaged, Month
from audit.partitions import POLICIES
from audit.sql.archives import Record, records
from mlops.cli import Finding, MaintenanceCommand, Report, UsageError
from mlops.errors import Conflict


class Command(MaintenanceCommand):
    help = "Write months of the audit trail that are past their time to AUDIT_ARCHIVE."
    database = settings.ADMIN_ALIAS
    alone = True

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--month",
            action="append",
            type=month_of,
            metavar="YYYY-MM",
            help="this month only; may be repeated; default: all that are due",
        )
        parser.add_argument(
            "--verify",
            action="store_true",
            help="read what was archived again, and compare it with its record",
        )

    def work(self, **options: Any) -> Report:
        self.now = datetime.now(UTC)
        self.connection = connections[options["database"]]
        self.report = Report(own={"months": []})
        self.heed_signals()
        if options["verify"]:
            self._verify(options["month"])
            return self.report
        for month in self._asked(options["month"]):
            if not self.stopping:
                self._archive(month)
        return self.report

    def _asked(self, months: list[Month] | None) -> list[Month]:
        there = archiving.months_at_hand(self.connection, POLICIES[0])
        for month in months or []:
            if month not in there:
                raise UsageError(
                    f"--month {month}: the trail has no such month; it has"
                    f" {', '.join(map(str, there)) or 'none'}."
                )
        return months or archiving.due(there, POLICIES[0], self.now)

    def _archive(self, month: Month) -> None:
        found = archives.archive_of(self.connection, month)
        if found is not None:
            self._tell_month(month, "archived before", found)
        elif self.options["dry_run"]:
            self._plan(month)
        else:
            self._write(month)

    def _plan(self, month: Month) -> None:
        try:
            archiving.refuse_too_early(self.connection, month, self.now)
        except Conflict as refusal:
            self._refuse(month, refusal)
        else:
            self._tell_month(month, "would be archived")

    def _write(self, month: Month) -> None:
        self.progress(f"archiving {month} …")
        try:
            made = archiving.archive(self.connection, month, self.now)
        except Damaged as damage:
            self._refuse(month, damage, "critical")
        except Conflict as refusal:
            self._refuse(month, refusal)
        else:
            self._tell_month(month, "archived", made)

    def _refuse(self, month: Month, why: Conflict, severity: str = "warning") -> None:
        self.report.findings.append(
            Finding("not_archived", severity, str(month), why.message)
        )
        self._tell_month(month, "not archived", reason=why.message)

    def _verify(self, months: list[Month] | None) -> None:
        for made in records(self.connection):
            month = Month.beginning(made.month)
            if self.stopping or (months and month not in months):
                continue
            problems = archives.problems_of(made)
            state = "damaged" if problems else "whole"
            self._tell_month(month, state, made, reason="; ".join(problems))
            if problems:
                advice = "Take it from a copy, and keep the month while it is at hand."
                self.report.findings.append(
                    Finding(
                        "damaged_archive",
                        "critical",
                        str(month),
                        "; ".join(problems),
                        advice=advice,
                    )
                )

    def _tell_month(
        self, month: Month, state: str, made: Record | None = None, reason: str = ""
    ) -> None:
        told: dict[str, Any] = {"month": str(month), "state": state, "reason": reason}
        line = f"{month}: {state}"
        if made is not None:
            told |= {
                "entries": made.entries,
                "size_bytes": made.size_bytes,
                "sha256": made.sha256,
                "location": made.location,
            }
            line += f", {made.entries} entries in {made.location}"
        self.report.own["months"].append(told)
        self.report.lines.append(line)


def month_of(text: str) -> Month:
    return Month.beginning(date.fromisoformat(f"{text}-01"))

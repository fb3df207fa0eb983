from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connections
from django.utils import timezone

from audit import anchors, keys, sampling
from audit.archives import archived_ranges
from audit.seals import INSTANCE
from audit.sql.verifying import Period, snapshot
from audit.verification import Damage, Oddity, Verdict, Verification, look_at_catalog
from mlops.cli import Finding, MaintenanceCommand, Report, UsageError
from mlops.db.uuid7 import floor
from tenants.context import Actor
from tenants.services.setup import find_organization
from tenants.unscoped import every_organization

COMMAND = Actor(kind="command", label="verify_audit")


class Command(MaintenanceCommand):
    help = "Recompute what was sealed and compare it with what is there."
    database = settings.ADMIN_ALIAS

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--organization", help=f"slug of one; {INSTANCE!r} for what belongs to none"
        )
        parser.add_argument("--from", dest="since", help="from this day or moment on")
        parser.add_argument("--to", dest="until", help="before this day or moment")
        parser.add_argument(
            "--anchor",
            action="append",
            type=Path,
            help="a file of anchors; default those of AUDIT_ANCHORS",
        )
        parser.add_argument(
            "--fast",
            action="store_true",
            help="let the database compute the leaves: faster, but its own word",
        )
        parser.add_argument(
            "--sample",
            type=int,
            default=0,
            help="compare so many objects with what their entries make of them",
        )

    def work(self, **options: Any) -> Report:
        period = self._period()
        started = time.monotonic()
        connection = connections[options["database"]]
        chains = self._chains()
        self.trusted = keys.trusted_keys()
        with snapshot(connection):
            verification = Verification(
                connection,
                self.trusted,
                period=period,
                fast=options["fast"],
                gone=archived_ranges(connection),
                told=self._told,
            )
            verdict = verification.run(chains)
            look_at_catalog(connection, verdict, timezone.now())
            anchored = self._compare_anchors(verdict)
            sampled = sampling.compare(connection, options["sample"], verdict)
        report = self._report(verdict)
        report.own |= {
            "anchors": anchored,
            "sampled": sampled,
            "seconds": round(time.monotonic() - started, 3),
        }
        return report

    def _period(self) -> Period:
        since = self._moment("since", "--from")
        until = self._moment("until", "--to")
        period = Period()
        if since:
            period = period._replace(since=floor(since))
        if until:
            period = period._replace(until=floor(until))
        if period.since >= period.until:
            raise UsageError("--from must be before --to.")
        return period

    def _moment(self, name: str, option: str) -> datetime | None:
        text = self.options[name]
        try:
            moment = datetime.fromisoformat(text) if text else None
        except ValueError:
            raise UsageError(
                f"{option}={text!r} is no moment; write 2026-11-30 or"
                " 2026-11-30T12:00+01:00."
            ) from None
        if moment and moment.tzinfo is None:
            return timezone.make_aware(moment)
        return moment

    def _chains(self) -> list[UUID | None] | None:
        slug = self.options["organization"]
        if slug is None:
            return None
        if slug == INSTANCE:
            return [None]
        with every_organization(COMMAND, reason="verifying the audit trail"):
            return [find_organization(slug).pk]

    def _compare_anchors(self, verdict: Verdict) -> int:
        """Only a whole verification of everything looks at them."""
        paths = self.options["anchor"]
        is_asked = paths is not None
        if not is_asked:
            paths = [path for path in anchors.files() if path.exists()]
        connection = connections[self.options["database"]]
        return sum(
            anchors.compare(connection, path, self.trusted, verdict) for path in paths
        )

    def _told(self, verdict: Verdict) -> None:
        self.progress(f"{verdict.entries} entries, {verdict.damages} damaged")

    def _report(self, verdict: Verdict) -> Report:
        own = {
            "entries": verdict.entries,
            "seals": verdict.seals,
            "unsealed": verdict.unsealed,
            "damaged": [_json_of(each) for each in verdict.damaged],
            "damages": verdict.damages,
            "others": [_json_of_oddity(each) for each in verdict.oddities],
        }
        report = Report(own, fixed=True)
        for damage in verdict.damaged:
            report.findings.append(_finding(damage))
        for odd in verdict.oddities:
            report.findings.append(
                Finding(
                    odd.check, odd.severity, odd.object, odd.detail, None, odd.advice
                )
            )
        report.lines.append(
            f"{verdict.entries} entries, {verdict.seals} seals,"
            f" {verdict.unsealed} entries not sealed yet, {verdict.damages} damaged."
        )
        return report


def _json_of(damage: Damage) -> dict[str, Any]:
    return {
        "organization": str(damage.organization) if damage.organization else None,
        "entry": str(damage.entry) if damage.entry else None,
        "reason": damage.reason,
        "seal": damage.seal,
        "detail": damage.detail,
    }


def _json_of_oddity(odd: Oddity) -> dict[str, Any]:
    return {
        "check": odd.check,
        "severity": odd.severity,
        "object": odd.object,
        "detail": odd.detail,
        "advice": odd.advice,
    }


def _finding(damage: Damage) -> Finding:
    chain = damage.organization or INSTANCE
    seal = f" in seal {damage.seal}" if damage.seal else ""
    detail = f": {damage.detail}" if damage.detail else ""
    return Finding(
        damage.reason, "critical", f"{chain}, entry {damage.entry}{seal}{detail}"
    )

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connections

from audit import anchors
from mlops.cli import Finding, MaintenanceCommand, Report


class Command(MaintenanceCommand):
    help = "Tell the heads of all chains to the places of AUDIT_ANCHORS, if they grew."
    database = settings.ADMIN_ALIAS

    def work(self, **options: Any) -> Report:
        if options["dry_run"]:
            return Report(lines=[f"Would tell {place}." for place in anchors.places()])
        told = anchors.anchor_all(connections[options["database"]])
        own = {"anchors": [each._asdict() for each in told]}
        report = Report(own, [f"{each.place}: {each.chains} chains" for each in told])
        report.findings = [
            Finding(
                "anchor",
                "critical",
                each.place,
                each.error,
                advice="It is told all that it missed as soon as it works again.",
            )
            for each in told
            if each.error
        ]
        return report

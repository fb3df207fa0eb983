from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report, UsageError
from registry import storage
from registry.services import uploads
from tenants.context import Actor
from tenants.unscoped import every_organization

COMMAND = Actor(kind="command", label="sweep_uploads")


class Command(MaintenanceCommand):
    help = "Forget uploads in parts that nobody completes, and drafts left behind."
    database = settings.ADMIN_ALIAS

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than-hours",
            type=float,
            default=24,
            help="spare what began later; default 24",
        )

    def work(self, **options: Any) -> Report:
        hours = options["older_than_hours"]
        if hours < 0:
            raise UsageError(f"--older-than-hours={hours}: use 0 or more.")
        older_than = timedelta(hours=hours)
        stale = self._stale(older_than)
        own: dict[str, Any] = {"uploads": len(stale), "staged": 0, "drafts": 0}
        would = "Would forget" if options["dry_run"] else "Forgot"
        report = Report(own, [f"{would} {name}" for name in stale])
        if not options["dry_run"]:
            while self._delete(older_than):
                pass
            own["staged"] = uploads.sweep_staged(older_than)
            own["drafts"] = storage.sweep_drafts(older_than=older_than)
        return report

    def _stale(self, older_than: timedelta) -> list[str]:
        with every_organization(COMMAND, reason="uploads that nobody completes"):
            rows = uploads.stale_uploads(older_than)
            return [f"{row.pk.hex} {row.location}" for row in rows]

    def _delete(self, older_than: timedelta) -> int:
        with every_organization(COMMAND, reason="uploads that nobody completes"):
            return uploads.delete_stale(older_than)

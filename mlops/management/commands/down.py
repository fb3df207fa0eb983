from __future__ import annotations

import signal
from typing import Any

from django.conf import settings

from mlops import processes
from mlops.cli import MaintenanceCommand, Report
from mlops.installation import Installation, Supervision
from mlops.supervisor import STOP_SECONDS, end_all


class Command(MaintenanceCommand):
    help = "Stop what `up` runs, or what is left of it. Fine when nothing runs."

    def work(self, **options: Any) -> Report:
        installation = Installation(settings.VAR, settings.PORT, settings.BASE_URL)
        running = installation.supervision()
        if options["dry_run"]:
            would = f"Would stop process {running.pid}." if running else "Nothing runs."
            return Report(lines=[would])
        if running:
            _stop(running)
        end_all(installation)
        line = "Stopped." if running else "Nothing was running."
        return Report(own={"stopped": running is not None}, lines=[line])


def _stop(running: Supervision) -> None:
    def is_same() -> bool:
        return processes.started_at(running.pid) == running.started

    # It waits for its children and for the database; then it is our turn.
    processes.end(
        lambda: [running.pid] if is_same() else [], STOP_SECONDS * 2, signal.SIGTERM
    )

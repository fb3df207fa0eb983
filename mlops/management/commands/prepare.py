from __future__ import annotations

import io
import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from mlops.cli import WARNING, MaintenanceCommand, Report
from mlops.db.privileges import watch
from mlops.errors import Unavailable
from mlops.staticfiles import collect_if_changed


class Command(MaintenanceCommand):
    help = "Migrate, make partitions, collect static files, make the first tenant."

    def work(self, **options: Any) -> Report:
        if options["dry_run"]:
            return Report(lines=[f"Would {self.help[0].lower()}{self.help[1:]}"])
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        _demand_both_locks()
        _make_partitions()
        collect_if_changed()
        printed = io.StringIO()
        call_command("first_run", "--json", stdout=printed)
        return Report(own=json.loads(printed.getvalue()), fixed=True)


def _demand_both_locks() -> None:
    """Say it here, once, rather than in each process that then refuses to start."""
    try:
        watch.look()
    except ImproperlyConfigured as error:
        raise Unavailable(str(error)) from None


def _make_partitions() -> None:
    try:
        call_command("partitions", "apply", "--quiet")
    except SystemExit as end:
        if end.code != WARNING:
            raise Unavailable("Partitions are not as they should be (see above).")

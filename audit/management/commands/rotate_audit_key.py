from __future__ import annotations

from typing import Any

from audit import keys
from mlops.cli import MaintenanceCommand, Report


class Command(MaintenanceCommand):
    help = "Seal with a new key from now on; what the old one sealed stays believed."

    def work(self, **options: Any) -> Report:
        if options["dry_run"]:
            line = f"Would replace key {keys.signing_key().public.id}."
            return Report(lines=[line])
        if not self.confirm("Seal the audit trail with a new key from now on?"):
            return Report(lines=["Nothing was done."])
        old, new = keys.rotate()
        own = {"old": old.id, "new": new.id, "public_key": new.text}
        return Report(own, [f"Key {old.id} was replaced by {new.id}: {new.text}"])

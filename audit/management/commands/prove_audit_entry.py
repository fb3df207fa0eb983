from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connections

from audit.models import AuditLog
from audit.proofs import links_to_anchor, prove
from audit.sql.verifying import snapshot
from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import NotFound


class Command(MaintenanceCommand):
    help = "Print the proof that an audit entry was sealed as it is."
    database = settings.ADMIN_ALIAS

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entry", help="id of the entry")
        parser.add_argument(
            "--anchored",
            action="store_true",
            help="add the seals up to the next one that was anchored",
        )

    def work(self, **options: Any) -> Report:
        connection = connections[options["database"]]
        with snapshot(connection):
            proof = prove(connection, self._entry(), most=None)
            if options["anchored"]:
                proof["links"] = links_to_anchor(connection, proof)
        lines = [
            f"Seal {dict(proof['seal'])['n']} covers it; its hash is {proof['hash']}.",
            "Add --json for the proof; docs/verify_audit_entry.py checks it.",
        ]
        return Report(proof, lines, fixed=True)

    def _entry(self) -> AuditLog:
        text = self.options["entry"]
        try:
            key = UUID(text)
        except ValueError:
            raise UsageError(f"{text!r} is no id of an entry.") from None
        rows = AuditLog._base_manager.using(self.options["database"])
        entry = rows.filter(pk=key).first()
        if entry is None:
            raise NotFound(f"There is no audit entry {key}.")
        return entry

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import DomainError
from tenants.context import Actor
from tenants.services.sessions import person_named, reset_second_factor
from tenants.unscoped import every_organization


class Command(MaintenanceCommand):
    help = "Take a person's second factors away, who has lost them; sessions end."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True, help="for the audit trail")

    def work(self, **options: Any) -> Report:
        name = options["username"]
        if options["dry_run"]:
            return Report(lines=[f"Would take all second factors of {name} away."])
        if not self.confirm(f"Take all second factors of {name} away?"):
            return Report(lines=["Nothing was done."])
        actor = Actor(kind="command", label="reset_second_factor")
        try:
            with every_organization(actor, reason=options["reason"]):
                taken = reset_second_factor(person_named(name))
        except DomainError as error:
            raise UsageError(error.message) from error
        line = f"{name} signs in by password alone until a new factor is set up."
        return Report(own={"username": name, "taken": taken}, lines=[line])

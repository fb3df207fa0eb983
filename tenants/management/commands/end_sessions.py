from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import DomainError
from tenants.context import Actor
from tenants.services.sessions import end_sessions, person_named
from tenants.unscoped import every_organization


class Command(MaintenanceCommand):
    help = "End all sessions of a person, at the next request of each."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def work(self, **options: Any) -> Report:
        actor = Actor(kind="command", label="end_sessions")
        try:
            with every_organization(actor, reason="asked for by an operator"):
                person = person_named(options["username"])
                ended = 0 if options["dry_run"] else end_sessions(person)
        except DomainError as error:
            raise UsageError(error.message) from error
        name = person.username
        if options["dry_run"]:
            return Report(lines=[f"Would end all sessions of {name}."])
        line = f"{name} is signed out everywhere ({ended} sessions)."
        return Report(own={"username": name, "ended": ended}, lines=[line])

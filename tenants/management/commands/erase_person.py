from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import DomainError
from tenants.context import Actor
from tenants.models import User
from tenants.services import erasure
from tenants.services.sessions import person_named
from tenants.unscoped import every_organization

ACTOR = Actor(kind="command", label="erase_person")


class Command(MaintenanceCommand):
    help = (
        "Erase a person: the account keeps its id and gets an invented name; how they"
        " signed in, their roles, tokens and invitations go, and what clients wrote of"
        " them is overwritten. The audit trail holds ids and stays valid."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?")
        parser.add_argument("--reason", default="", help="for the audit trail")
        parser.add_argument(
            "--replay",
            metavar="FILE",
            help="erase again who is in this log, after a backup was restored",
        )

    def work(self, **options: Any) -> Report:
        if bool(options["username"]) == bool(options["replay"]):
            raise UsageError("Name a person, or a log with --replay; one of them.")
        if not options["reason"].strip():
            raise UsageError("--reason='': say why, for the audit trail.")
        self.reason = options["reason"]
        try:
            people = self._people(options)
            return self._erase_all(people, options)
        except DomainError as error:
            raise UsageError(error.message) from error

    def _bound(self) -> AbstractContextManager[Any]:
        return every_organization(ACTOR, reason=self.reason)

    def _people(self, options: dict[str, Any]) -> list[User]:
        with self._bound():
            if options["username"]:
                return [person_named(options["username"])]
            path = Path(options["replay"])
            if not path.is_file():
                raise UsageError(f"--replay={options['replay']!r}: there is no file.")
            rows = User.objects.filter(pk__in=erasure.read_log(path)).order_by("pk")
            return [person for person in rows if not erasure.is_erased(person)]

    def _erase_all(self, people: list[User], options: dict[str, Any]) -> Report:
        names = ", ".join(person.username for person in people) or "nobody"
        report = Report(own={"applied": False, "people": []})
        if people and not options["dry_run"]:
            report.own["applied"] = self.confirm(f"Erase {names} for good?")
        for person in people:
            report.own["people"].append(self._erase(person, report.own["applied"]))
        verb = "Erased" if report.own["applied"] else "Would erase"
        report.lines = [f"{verb} {names}.", *map(line_of, report.own["people"])]
        return report

    def _erase(self, person: User, applied: bool) -> dict[str, Any]:
        if applied:
            counts = erasure.erase(person, self._bound)
        else:
            with self._bound():
                counts = erasure.plan(person)
        return {"id": str(person.pk), **counts}


def line_of(told: dict[str, Any]) -> str:
    counts = ", ".join(f"{n} {noun}" for noun, n in told.items() if noun != "id")
    return f"{told['id']}: {counts}"

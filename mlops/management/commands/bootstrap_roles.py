from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from mlops import env
from mlops.cli import MaintenanceCommand, NotChecked, Report
from mlops.db import roles
from mlops.db.embedded import Embedded


class Command(MaintenanceCommand):
    help = "Make the database roles and the database, or make them right."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url",
            default=env.text("DATABASE_URL"),
            help="of a role that may make roles; default DATABASE_URL, or the embedded",
        )
        parser.add_argument("--name", help="of the database; default: the URL's")

    def work(self, **options: Any) -> Report:
        embedded = Embedded(settings.VAR)
        url = options["url"] or embedded.superuser_url
        implied = roles.database_of(url) if options["url"] else roles.DATABASE
        name = options["name"] or implied
        made = [role.name for role in roles.ROLES]
        if options["dry_run"]:
            return Report(lines=[f"Would make {name} and {', '.join(made)}."])
        passwords = {role: embedded.password(role) for role in roles.LOGINS}
        left_out = roles.bootstrap(url, name, passwords)
        return Report(
            own={"database": name, "roles": made},
            lines=[f"{name} and the roles {', '.join(made)} are there."],
            not_checked=[NotChecked("bootstrap_roles", reason) for reason in left_out],
        )

from __future__ import annotations

from typing import Any

from django.conf import settings

from mlops.cli import MaintenanceCommand, Report, Unsafe
from mlops.errors import InvalidInput
from tenants.context import Actor
from tenants.services import setup
from tenants.unscoped import every_organization


class Command(MaintenanceCommand):
    help = "On a new installation: an admin, a demo organization and a token."
    database = settings.ADMIN_ALIAS
    alone = True

    def work(self, **options: Any) -> Report:
        if options["dry_run"]:
            return Report(lines=["Would make the first admin, if there is none."])
        self.refuse_hidden_secrets()
        actor = Actor(kind="command", label="first_run")
        try:
            with every_organization(actor, reason="first run"):
                made = setup.first_run(settings.ADMIN_PASSWORD)
        except InvalidInput as error:
            raise Unsafe(str(error)) from None
        own = {
            "admin_username": setup.ADMIN if made.created else None,
            "admin_password": made.password,
            "organization": setup.DEMO,
            "projects": [setup.DEMO, setup.SANDBOX],
            "tracking_uri": settings.BASE_URL,
            "token": made.token,
            "created": made.created,
        }
        lines = [f"{name}: {value}" for name, value in own.items()]
        return Report(own=own, lines=lines, fixed=True)

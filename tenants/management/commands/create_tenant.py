from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import DomainError
from tenants.context import Actor
from tenants.services import setup
from tenants.unscoped import every_organization


class Command(MaintenanceCommand):
    help = "Make an organization and a project if they are missing, and a token."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", help="slug; default: a random one")
        parser.add_argument("--project", help="slug; default: a random one")

    def work(self, **options: Any) -> Report:
        organization = options["organization"] or setup.random_slug()
        project = options["project"] or setup.random_slug()
        if options["dry_run"]:
            return Report(lines=[f"Would issue a token for {organization}/{project}."])
        self.refuse_hidden_secrets()
        actor = Actor(kind="command", label="create_tenant")
        try:
            with every_organization(actor, reason="a tenant for a tool"):
                token = setup.tenant_token(organization, project)
        except DomainError as error:
            raise UsageError(error.message) from error
        made = {
            "organization": organization,
            "project": project,
            "url": settings.BASE_URL,
            "token": token,
        }
        lines = [f"{name}: {value}" for name, value in made.items()]
        return Report(own=made, lines=lines, fixed=True)

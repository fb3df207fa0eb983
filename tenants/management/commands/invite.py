from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import DomainError
from tenants.context import Actor
from tenants.models import Organization, OrganizationRole, Project
from tenants.services import invitations, setup
from tenants.unscoped import every_organization


class Command(MaintenanceCommand):
    help = "Invite an e-mail address into an organization and print a link for it."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, help="slug")
        parser.add_argument("--email", required=True)
        parser.add_argument(
            "--role", default=OrganizationRole.MEMBER, choices=OrganizationRole.values
        )
        parser.add_argument(
            "--project",
            action="append",
            default=[],
            metavar="SLUG=ROLE",
            help="a role in a project: maintainer, editor or viewer; may be repeated",
        )

    def work(self, **options: Any) -> Report:
        email, place = options["email"], options["organization"]
        if options["dry_run"]:
            return Report(lines=[f"Would invite {email} into {place}."])
        self.refuse_hidden_secrets()
        actor = Actor(kind="command", label="invite")
        try:
            with every_organization(actor, reason="asked for by an operator"):
                return self._invite(setup.find_organization(place), options)
        except DomainError as error:
            raise UsageError(error.message) from error

    def _invite(self, organization: Organization, options: dict[str, Any]) -> Report:
        roles = dict(read_role(organization, text) for text in options["project"])
        invitation, link = invitations.invite(
            organization,
            email=options["email"],
            role=options["role"],
            project_roles=roles,
        )
        made = {
            "organization": organization.slug,
            "email": invitation.email,
            "role": invitation.role,
            "projects": {project.slug: role for project, role in roles.items()},
            "expires_at": invitation.expires_at.isoformat(),
            "link": link,
        }
        lines = [f"{name}: {value}" for name, value in made.items()]
        return Report(own=made, lines=lines, fixed=True)


def read_role(organization: Organization, text: str) -> tuple[Project, str]:
    """Read SLUG=ROLE. Raises UsageError for another form."""
    slug, separator, role = text.partition("=")
    if not separator:
        raise UsageError(f"--project={text}: write SLUG=ROLE, such as fraud=editor.")
    return setup.find_project(organization, slug), role

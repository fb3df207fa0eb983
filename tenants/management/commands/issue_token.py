from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import DomainError
from tenants.context import Actor
from tenants.models import Membership, Organization, Project, ServiceAccount, User
from tenants.services import setup, tokens
from tenants.unscoped import every_organization


class Command(MaintenanceCommand):
    help = "Issue an API token and print it; it is not shown again."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, help="slug")
        parser.add_argument("--project", action="append", default=[], help="slug")
        holder = parser.add_mutually_exclusive_group()
        holder.add_argument("--user", help="user name of a member who will hold it")
        holder.add_argument("--service-account", help="name; default: its own")
        parser.add_argument("--name", default="issue_token", help="to tell it by")
        parser.add_argument("--days", type=int, default=tokens.DEFAULT_DAYS)
        parser.add_argument("--permission", action="append", help='default: "*"')

    def work(self, **options: Any) -> Report:
        if options["dry_run"]:
            return Report(lines=[f"Would issue a token in {options['organization']}."])
        self.refuse_hidden_secrets()
        actor = Actor(kind="command", label="issue_token")
        try:
            with every_organization(actor, reason="asked for by an operator"):
                return self._issue(options)
        except DomainError as error:
            raise UsageError(error.message) from error

    def _issue(self, options: dict[str, Any]) -> Report:
        organization = setup.find_organization(options["organization"])
        bound = [setup.find_project(organization, p) for p in options["project"]]
        row, text = tokens.issue_token(
            organization,
            holder_of(organization, bound, options),
            name=options["name"],
            projects=bound,
            permissions=options["permission"] or [tokens.EVERYTHING],
            days=options["days"],
        )
        issued = {
            "organization": organization.slug,
            "projects": options["project"],
            "public_id": row.public_id,
            "expires_at": row.expires_at.isoformat(),
            "token": text,
        }
        lines = [f"{name}: {value}" for name, value in issued.items()]
        return Report(own=issued, lines=lines, fixed=True)


def holder_of(
    organization: Organization, bound: list[Project], options: dict[str, Any]
) -> User | ServiceAccount:
    """Raises UsageError unless the options name a living holder, or one project."""
    if name := options["user"]:
        belonging = Membership.objects.filter(organization=organization)
        membership = belonging.filter(user__username=name, user__is_active=True).first()
        if membership is None:
            raise UsageError(f"--user={name}: {organization} has no such member.")
        return membership.user
    name = options["service_account"]
    if not name and len(bound) == 1:
        return setup.client_of(bound[0])
    if not name:
        raise UsageError("Name the holder: --user, --service-account or one --project.")
    accounts = ServiceAccount.objects.filter(organization=organization)
    account = accounts.filter(name=name).first()
    if account is None:
        raise UsageError(f"--service-account={name}: {organization} has no such one.")
    return account

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import DomainError
from tenants.context import Actor
from tenants.models import ApiToken
from tenants.services import setup, tokens
from tenants.unscoped import every_organization


class Command(MaintenanceCommand):
    help = "Revoke an API token, from the next request of every process on."

    def add_options(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--public-id", help="as lists show it: mlp_u_<public id>")
        which.add_argument("--name", help="of a token that lives; needs --organization")
        parser.add_argument("--organization", help="slug")
        parser.add_argument("--reason", default="", help="kept with the token")

    def work(self, **options: Any) -> Report:
        if options["name"] and not options["organization"]:
            raise UsageError("--name is unique in no place; add --organization.")
        reason = options["reason"] or "asked for by an operator"
        actor = Actor(kind="command", label="revoke_token")
        try:
            with every_organization(actor, reason=reason):
                return self._revoke(find_token(options), reason)
        except DomainError as error:
            raise UsageError(error.message) from error

    def _revoke(self, token: ApiToken, reason: str) -> Report:
        already = token.revoked_at is not None
        if not already and self.confirm(f"Revoke {token}?"):
            token = tokens.revoke_token(token, reason=reason[:200])
        told = {
            "organization": token.organization.slug,
            "public_id": token.public_id,
            "name": token.name,
            "revoked_at": token.revoked_at and token.revoked_at.isoformat(),
            "reason": token.revoked_reason,
            "already_revoked": already,
        }
        return Report(own=told, lines=[sentence(token, already)])


def find_token(options: dict[str, Any]) -> ApiToken:
    """Raises UsageError unless the options name exactly one token."""
    rows = ApiToken.objects.select_related("organization")
    if slug := options["organization"]:
        rows = rows.filter(organization=setup.find_organization(slug))
    if name := options["name"]:
        found = list(rows.usable().filter(name=name))
        given = f"--name={name}"
    else:
        # Copied from a list, it still has its kind in front and perhaps its end.
        bare = options["public_id"].removeprefix("mlp_").rpartition("_")[2]
        found = list(rows.filter(public_id=bare.partition("…")[0]))
        given = f"--public-id={options['public_id']}"
    if not found:
        raise UsageError(f"{given}: no such token.")
    if len(found) > 1:
        choice = ", ".join(token.public_id for token in found)
        raise UsageError(f"{given} is held by several; use --public-id: {choice}.")
    return found[0]


def sentence(token: ApiToken, already: bool) -> str:
    if token.revoked_at is None:
        return f"Would revoke {token}."
    word = "was revoked already" if already else "is revoked"
    return f"{token} {word}: {token.revoked_reason or 'no reason given'}."

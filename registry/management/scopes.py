"""Options that say on which tenants a maintenance command of the registry works."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mlops.cli import UsageError
from mlops.errors import DomainError
from registry.services import scopes
from registry.services.scopes import Scope


def add_scope_options(parser: CommandParser) -> None:
    parser.add_argument("--organization", help="slug; default all of them")
    parser.add_argument("--project", help="slug; needs --organization")


def scopes_of(name: str, options: dict[str, Any]) -> list[Scope]:
    """Raises UsageError for a name that is none."""
    organization, project = options["organization"], options["project"]
    if project and not organization:
        raise UsageError("--project is unique in its organization; add --organization.")
    try:
        return scopes.scopes(name, organization=organization, project=project)
    except DomainError as error:
        raise UsageError(error.message) from error

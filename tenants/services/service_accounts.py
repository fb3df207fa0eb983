"""Service accounts: actors of one organization that cannot sign in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from mlops.db.uniques import claiming
from tenants.context import acting
from tenants.models import (
    ApiToken,
    Organization,
    Project,
    ProjectMember,
    ServiceAccount,
)
from tenants.services import deletion
from tenants.services.members import add_project_member
from tenants.services.rights import demand_maintained

NOUN = "service account"


def create_service_account(
    organization: Organization,
    *,
    name: str,
    description: str = "",
    roles: Mapping[Project, str] | None = None,
) -> ServiceAccount:
    """Make an actor with a role in each of the projects.

    Raises Forbidden unless the actor is an admin, or maintains all these projects.
    """
    demand_maintained(roles or {}, "Creating a service account")
    account = ServiceAccount(
        organization=organization,
        name=name,
        description=description,
        created_by=acting().id,
    )
    with claiming(NOUN, name=name):
        account.save(force_insert=True)
    for project, role in (roles or {}).items():
        add_project_member(project, role=role, service_account=account)
    return account


def update_service_account(account: ServiceAccount, **changes: Any) -> ServiceAccount:
    """Change `name` or `description`."""
    deletion.refuse_deleted(account)
    demand_maintained(projects_of(account), "Changing a service account")
    for field, value in changes.items():
        setattr(account, field, value)
    with claiming(NOUN, name=account.name):
        account.save(update_fields=[*changes, "updated_at"])
    return account


def delete_service_account(account: ServiceAccount) -> None:
    """Take it out of its projects and end its tokens."""
    if account.deleted_at is not None:
        return
    demand_maintained(projects_of(account), "Deleting a service account")
    mark = deletion.new_mark(account)
    deletion.put_on_all(_memberships(account), mark)
    deletion.put(account, mark)
    ApiToken.objects.usable().filter(service_account=account).update(
        revoked_at=timezone.now(), revoked_reason="service account deleted"
    )


def projects_of(account: ServiceAccount) -> list[Project]:
    held = _memberships(account).select_related("project")
    return [member.project for member in held]


def _memberships(account: ServiceAccount) -> Any:
    return ProjectMember.objects.filter(service_account=account)

"""What an actor may hand on: nobody grants more than they hold themselves."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q

from mlops.errors import Forbidden
from tenants.context import Actor, acting
from tenants.models import (
    Membership,
    OrganizationRole,
    Project,
    ProjectMember,
    ProjectRole,
)
from tenants.permissions import TRUSTED
from tenants.querysets import RULERS

# From least to most, in an organization and in a project.
ORGANIZATION_ORDER = (
    OrganizationRole.MEMBER,
    OrganizationRole.ADMIN,
    OrganizationRole.OWNER,
)
PROJECT_ORDER = (ProjectRole.VIEWER, ProjectRole.EDITOR, ProjectRole.MAINTAINER)


def demand_organization_role(role: str) -> None:
    """Raises Forbidden unless the actor's own role is at least `role`."""
    actor = acting()
    own = max((_rank(held) for held in actor.roles), default=-1)
    if actor.kind not in TRUSTED and own < _rank(role):
        raise Forbidden(f"role={role!r} is above your own; ask an {role} to do it.")


def _rank(role: str) -> int:
    ranks = [str(each) for each in ORGANIZATION_ORDER]
    return ranks.index(role) if role in ranks else -1


def rules_organization(actor: Actor) -> bool:
    """Tell whether the actor is an owner or admin, by a token that is not bound."""
    return actor.kind in TRUSTED or bool(actor.roles & RULERS)


def demand_maintained(projects: Iterable[Project], doing: str) -> None:
    """Raises Forbidden unless the actor is a maintainer of each of the projects."""
    actor = acting()
    if rules_organization(actor):
        return
    wanted = {project.pk for project in projects}
    if not wanted or not wanted <= maintained_by(actor):
        raise Forbidden(
            f"{doing} needs an admin of the organization, or a maintainer of every"
            " project it is for."
        )


def maintained_by(actor: Actor) -> set[UUID]:
    """Return the projects of which the actor is a maintainer; takes two queries.

    An owner or admin with a bound token is one of the projects it is bound to.
    """
    holder = Q(user_id=actor.id) | Q(service_account_id=actor.id)
    maintained = set(
        ProjectMember.objects.filter(holder, role=ProjectRole.MAINTAINER).values_list(
            "project_id", flat=True
        )
    )
    if not actor.project_ids:
        return maintained
    bound, own = set(actor.project_ids), Q(user_id=actor.id, role__in=RULERS)
    rules = Membership.objects.filter(own).exists()
    return bound if rules else maintained & bound

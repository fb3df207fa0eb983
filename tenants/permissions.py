"""Who may do what: permission names, and one table from permission to roles.

`owner` and `admin` of an organization count as `maintainer` in each of its projects;
the database computes the effective roles (`tenants_admit`), this table weighs them.
`service` is what every service account is on routes of its organization.
docs/permissions.md is printed from here by `manage.py permissions --markdown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import TextChoices

from mlops.errors import Forbidden

if TYPE_CHECKING:
    from tenants.context import Actor

OWNERS = frozenset({"owner"})
ADMINS = OWNERS | {"admin"}
MAINTAINERS = frozenset({"maintainer"})
EDITORS = MAINTAINERS | {"editor"}
VIEWERS = EDITORS | {"viewer"}
EVERYONE = ADMINS | {"member", "service"}

# No permission: whoever has signed in may enter, and a session binds no organization.
SIGNED_IN = "signed-in"
# Kinds of actors that only operators can be; the admin weighs its staff itself.
TRUSTED = frozenset({"command", "job", "staff"})


class Permission(TextChoices):
    ORGANIZATION_READ = "organization:read", "see the organization and its projects"
    ORGANIZATION_WRITE = "organization:write", "change the organization's settings"
    ORGANIZATION_ADMIN = (
        "organization:admin",
        "delete and restore the organization, let staff in",
    )
    MEMBERS_READ = "members:read", "see who belongs to it"
    MEMBERS_WRITE = "members:write", "add, remove and change members up to one's role"
    PROJECTS_WRITE = "projects:write", "create, change, delete and restore projects"
    PROJECT_ADMIN = (
        "project:admin",
        "change the members of a project and the protection rules of its packages",
    )
    TOKENS_READ = "tokens:read", "see one's own tokens (admins: all)"
    TOKENS_WRITE = "tokens:write", "issue, rotate and revoke tokens"
    TOKEN_ROTATE_SELF = "token:rotate-self", "give the calling token a new secret"
    AUDIT_READ = "audit:read", "read the audit trail (maintainers: of their project)"
    PURGE = "purge", "delete for good"
    TRACKING_READ = "tracking:read", "read experiments, runs and what they logged"
    TRACKING_WRITE = "tracking:write", "create experiments and runs, log to them"
    TRACKING_DELETE = (
        "tracking:delete",
        "delete and restore runs (editors: their own) and experiments (maintainers)",
    )
    ARTIFACTS_READ = "artifacts:read", "list and download artifacts"
    ARTIFACTS_WRITE = "artifacts:write", "upload artifacts"
    ARTIFACTS_DELETE = "artifacts:delete", "delete artifacts"
    REGISTRY_READ = "registry:read", "read models, versions and deployments"
    REGISTRY_WRITE = (
        "registry:write",
        "register models and versions, move aliases and stages that are not protected",
    )
    REGISTRY_PROMOTE = "registry:promote", "move protected aliases and stages"
    REGISTRY_DELETE = "registry:delete", "delete, restore and rename models"
    WEBHOOKS_WRITE = "webhooks:write", "register webhooks"
    MONITORING_READ = "monitoring:read", "read points, reports, rules and alerts"
    MONITORING_WRITE = "monitoring:write", "send points, change rules, answer alerts"


P = Permission
ROLES: dict[str, frozenset[str]] = {
    P.ORGANIZATION_READ: EVERYONE,
    P.ORGANIZATION_WRITE: ADMINS,
    P.ORGANIZATION_ADMIN: OWNERS,
    P.MEMBERS_READ: EVERYONE,
    P.MEMBERS_WRITE: ADMINS,
    P.PROJECTS_WRITE: ADMINS,
    P.PROJECT_ADMIN: MAINTAINERS,
    P.TOKENS_READ: EVERYONE,
    P.TOKENS_WRITE: EVERYONE,
    P.TOKEN_ROTATE_SELF: EVERYONE,
    P.AUDIT_READ: ADMINS | MAINTAINERS | {"service"},
    P.PURGE: ADMINS,
    P.TRACKING_READ: VIEWERS,
    P.TRACKING_WRITE: EDITORS,
    P.TRACKING_DELETE: EDITORS,
    P.ARTIFACTS_READ: VIEWERS,
    P.ARTIFACTS_WRITE: EDITORS,
    P.ARTIFACTS_DELETE: MAINTAINERS,
    P.REGISTRY_READ: VIEWERS,
    P.REGISTRY_WRITE: EDITORS,
    P.REGISTRY_PROMOTE: MAINTAINERS,
    P.REGISTRY_DELETE: MAINTAINERS,
    P.WEBHOOKS_WRITE: MAINTAINERS,
    P.MONITORING_READ: VIEWERS,
    P.MONITORING_WRITE: EDITORS,
}
# Rows of these live in the organization; the rest needs a project.
OF_ORGANIZATION = frozenset(
    {
        P.ORGANIZATION_READ,
        P.ORGANIZATION_WRITE,
        P.ORGANIZATION_ADMIN,
        P.MEMBERS_READ,
        P.MEMBERS_WRITE,
        P.PROJECTS_WRITE,
        P.TOKENS_READ,
        P.TOKENS_WRITE,
        P.TOKEN_ROTATE_SELF,
        P.AUDIT_READ,
        P.PURGE,
    }
)
# What "*" does not lend to a service account: its token names these, or lacks them.
OPT_IN = frozenset(
    {
        P.AUDIT_READ,
        P.PROJECT_ADMIN,
        P.TRACKING_DELETE,
        P.ARTIFACTS_DELETE,
        P.REGISTRY_PROMOTE,
        P.REGISTRY_DELETE,
        P.WEBHOOKS_WRITE,
    }
)


def allows(actor: Actor, permission: str) -> bool:
    """Weigh a second permission of a request, by the rights it was admitted with."""
    if actor.kind in TRUSTED:
        return True
    return lends(actor, permission) and not actor.roles.isdisjoint(ROLES[permission])


def lends(actor: Actor, permission: str) -> bool:
    """Whether the actor's token lends it, whatever the roles are."""
    by_star = actor.kind != "service" or permission not in OPT_IN
    granting = {"*", permission} if by_star else {permission}
    return not actor.permissions.isdisjoint(granting)


def demand(actor: Actor, permission: str, doing: str) -> None:
    """Raises Forbidden, naming what cannot be done for want of which permission."""
    if not allows(actor, permission):
        raise Forbidden(f"{doing} needs the permission {permission}.")


def demand_maintainer(actor: Actor, doing: str, *, made_by: UUID | None = None) -> None:
    """Raises Forbidden unless the actor maintains the project, or made the row."""
    own = actor.id is not None and actor.id == made_by
    if not (own or actor.kind in TRUSTED or actor.roles & MAINTAINERS):
        raise Forbidden(f"{doing} needs a maintainer of the project.")


class Admitted:
    """DRF's gate: the middleware has weighed the permission; without it, nobody enters.

    DRF asks `has_permission` before the action; an action whose permission the view
    set does not declare never got an actor.
    """

    def has_permission(self, request: Any, view: Any) -> bool:
        return getattr(request, "actor", None) is not None

    def has_object_permission(self, request: Any, view: Any, row: Any) -> bool:
        return True

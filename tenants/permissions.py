"""Who may do what: permission names, and one table from permission to roles.

`owner` and `admin` of an organization count as `maintainer` in each of its projects;
the database computes the effective roles (`tenants_admit`), this table weighs them.
`service` is what every service account is on routes of its organization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_WRITE = "organization:write"
    ORGANIZATION_ADMIN = "organization:admin"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    PROJECTS_WRITE = "projects:write"
    PROJECT_ADMIN = "project:admin"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    AUDIT_READ = "audit:read"
    TRACKING_READ = "tracking:read"
    TRACKING_WRITE = "tracking:write"
    TRACKING_DELETE = "tracking:delete"
    ARTIFACTS_READ = "artifacts:read"
    ARTIFACTS_WRITE = "artifacts:write"
    ARTIFACTS_DELETE = "artifacts:delete"
    REGISTRY_READ = "registry:read"
    REGISTRY_WRITE = "registry:write"
    REGISTRY_PROMOTE = "registry:promote"
    REGISTRY_DELETE = "registry:delete"
    MONITORING_READ = "monitoring:read"
    MONITORING_WRITE = "monitoring:write"


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
    P.AUDIT_READ: ADMINS,
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
        P.AUDIT_READ,
    }
)


def allows(actor: Actor, permission: str) -> bool:
    """Weigh a second permission of a request, by the rights it was admitted with."""
    if actor.kind in TRUSTED:
        return True
    granted = not actor.permissions.isdisjoint({"*", permission})
    return granted and not actor.roles.isdisjoint(ROLES[permission])


def demand(actor: Actor, permission: str, doing: str) -> None:
    """Raises Forbidden, naming what cannot be done for want of which permission."""
    if not allows(actor, permission):
        raise Forbidden(f"{doing} needs the permission {permission}.")


class Admitted:
    """DRF's gate: the middleware has weighed the permission; without it, nobody enters.

    DRF asks `has_permission` before the action; an action whose permission the view
    set does not declare never got an actor.
    """

    def has_permission(self, request: Any, view: Any) -> bool:
        return getattr(request, "actor", None) is not None

    def has_object_permission(self, request: Any, view: Any, row: Any) -> bool:
        return True

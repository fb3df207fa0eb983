from tenants.models.base import SoftDeleted, TenantModel, TenantRow
from tenants.models.organizations import (
    ALIVE,
    DefaultRole,
    Membership,
    Organization,
    OrganizationRole,
    Project,
    ProjectCounter,
    ProjectMember,
    ProjectRole,
)
from tenants.models.tokens import ApiToken, ServiceAccount, TokenKind
from tenants.models.users import User

__all__ = [
    "ALIVE",
    "ApiToken",
    "DefaultRole",
    "Membership",
    "Organization",
    "OrganizationRole",
    "Project",
    "ProjectCounter",
    "ProjectMember",
    "ProjectRole",
    "ServiceAccount",
    "SoftDeleted",
    "TenantModel",
    "TenantRow",
    "TokenKind",
    "User",
]

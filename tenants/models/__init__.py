from tenants.models.base import SoftDeleted, TenantModel, TenantRow
from tenants.models.idempotency import IdempotencyKey
from tenants.models.invitations import Invitation, InvitationState
from tenants.models.organizations import (
    ALIVE,
    DefaultRole,
    DuplicateFiles,
    Feature,
    Membership,
    Organization,
    OrganizationRole,
    Project,
    ProjectCounter,
    ProjectMember,
    ProjectRole,
)
from tenants.models.single_sign_on import SingleSignOn
from tenants.models.support import GrantState, SupportGrant
from tenants.models.tokens import ApiToken, ServiceAccount, TokenKind
from tenants.models.users import User

__all__ = [
    "ALIVE",
    "ApiToken",
    "DefaultRole",
    "DuplicateFiles",
    "Feature",
    "GrantState",
    "IdempotencyKey",
    "Invitation",
    "InvitationState",
    "Membership",
    "Organization",
    "OrganizationRole",
    "Project",
    "ProjectCounter",
    "ProjectMember",
    "ProjectRole",
    "ServiceAccount",
    "SingleSignOn",
    "SoftDeleted",
    "SupportGrant",
    "TenantModel",
    "TenantRow",
    "TokenKind",
    "User",
]

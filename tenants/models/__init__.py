from tenants.models.base import (
    Personal,
    SoftDeleted,
    TenantModel,
    TenantRow,
    Tombstone,
    purge_index,
)
from tenants.models.erasures import Erasure
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
    "Erasure",
    "Feature",
    "GrantState",
    "IdempotencyKey",
    "Invitation",
    "InvitationState",
    "Membership",
    "Organization",
    "OrganizationRole",
    "Personal",
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
    "Tombstone",
    "User",
    "purge_index",
]

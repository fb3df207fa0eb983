"""The browser admin of tenants, and `TenantAdmin`, the base of every admin."""

from __future__ import annotations

from tenants.admin import (
    erasures,
    invitations,
    members,
    organizations,
    single_sign_on,
    support,
    tokens,
    users,
)
from tenants.admin.base import Dated, Restorable, TenantAdmin
from tenants.admin.overview import overview, tile

__all__ = [
    "Dated",
    "Restorable",
    "TenantAdmin",
    "erasures",
    "invitations",
    "members",
    "organizations",
    "overview",
    "single_sign_on",
    "support",
    "tile",
    "tokens",
    "users",
]

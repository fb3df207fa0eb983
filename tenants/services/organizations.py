"""Organizations: founding, settings, and the freeze before they are purged."""

from __future__ import annotations

from typing import Any

from mlops.db.uniques import claiming
from mlops.errors import InvalidInput
from tenants.models import Membership, Organization, OrganizationRole, User
from tenants.services import deletion
from tenants.services.slugs import checked_slug

NOUN = "organization"


def create_organization(
    *, slug: str, name: str = "", owner: User | None = None
) -> Organization:
    """Found an organization; only commands and the admin can, as no tenant is bound.

    Raises AlreadyExists for a slug in use, be it by a deleted organization.
    """
    organization = Organization(slug=checked_slug(slug), name=name or slug)
    with claiming(NOUN, slug=slug):
        organization.save(force_insert=True)
    if owner is not None:
        role = OrganizationRole.OWNER
        Membership.objects.create(organization=organization, user=owner, role=role)
    return organization


def update_organization(organization: Organization, **changes: Any) -> Organization:
    """Change anything but the slug, which is the address and stays.

    Raises InvalidInput for a legal hold without a reason: who lifts it needs one.
    """
    deletion.refuse_deleted(organization)
    for field, value in changes.items():
        setattr(organization, field, value)
    if organization.legal_hold and not organization.legal_hold_reason.strip():
        raise InvalidInput("legal_hold_reason='': a legal hold needs its reason.")
    organization.save(update_fields=[*changes, "updated_at"])
    return organization


def confirm_deletion(organization: Organization, confirm: str) -> None:
    """Raises InvalidInput unless the caller has typed the organization's slug."""
    if confirm != organization.slug:
        raise InvalidInput(
            f"confirm={confirm!r}: send the organization's slug,"
            f' {{"confirm": "{organization.slug}"}}, to delete it.'
        )


def delete_organization(organization: Organization) -> None:
    """Freeze it: nobody enters any more, and an owner may restore it until the purge.

    Nothing below is marked, since all of it is out of reach with it.
    """
    if organization.deleted_at is None:
        deletion.put(organization, deletion.new_mark(organization))


def restore_organization(organization: Organization) -> Organization:
    if organization.deleted_at is not None:
        deletion.restore(organization)
    return organization

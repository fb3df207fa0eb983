"""Support grants: staff asks, an owner approves, or the glass is broken in plain sight.

What a grant opens is decided by the admin (tenants/admin_support.py), page by page.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.conf import settings
from django.core.mail import send_mail
from django.db import DEFAULT_DB_ALIAS, transaction
from django.template.loader import render_to_string
from django.utils import timezone

from mlops.db.uniques import claiming
from mlops.errors import Forbidden, InvalidInput, InvalidState
from tenants.context import acting, bound_alias, record
from tenants.models import (
    GrantState,
    Membership,
    Organization,
    OrganizationRole,
    SupportGrant,
    User,
)
from tenants.models.support import MAX_HOURS, PENDING, PENDING_DAYS

LEAST_REASON, MOST_REASON = 10, 500
MAIL = "admin/mail/support.txt"


@transaction.atomic
def request_grant(
    organization: Organization,
    *,
    staff: User,
    reason: str,
    hours: int = 1,
    may_write: bool = False,
    break_glass: bool = False,
) -> SupportGrant:
    """Ask the owners to let one of the staff in; breaking the glass waits for nobody.

    Either way the owners get a mail. Raises AlreadyExists while a question is open.
    """
    _check(reason, hours)
    _forget_unanswered(organization, staff)
    grant = SupportGrant(
        organization=organization,
        staff=staff,
        reason=reason.strip(),
        hours=hours,
        may_write=may_write,
        break_glass=break_glass,
    )
    if break_glass:
        _open(grant)
    with claiming("support grant", staff=staff.username):
        grant.save(force_insert=True)
    if break_glass:
        record("support.glass_broken", target=grant, why=grant.reason, hours=hours)
    _tell_owners(grant)
    return grant


def _check(reason: str, hours: int) -> None:
    if not LEAST_REASON <= len(reason.strip()) <= MOST_REASON:
        raise InvalidInput(
            f"reason={reason[:50]!r}: say in {LEAST_REASON} to {MOST_REASON} characters"
            " what you need to see and why."
        )
    _check_hours(hours, MAX_HOURS)


def _check_hours(hours: int, most: int) -> None:
    if not 1 <= hours <= most:
        raise InvalidInput(f"hours={hours}: use 1 to {most}.")


def _forget_unanswered(organization: Organization, staff: User) -> None:
    stale = timezone.now() - timedelta(days=PENDING_DAYS)
    mine = SupportGrant.objects.filter(PENDING, organization=organization, staff=staff)
    now = timezone.now()
    mine.filter(created_at__lte=stale).update(revoked_at=now, updated_at=now)


def _open(grant: SupportGrant) -> None:
    grant.approved_at = timezone.now()
    grant.expires_at = grant.approved_at + timedelta(hours=grant.hours)


@transaction.atomic
def approve_grant(
    grant: SupportGrant, *, hours: int | None = None, may_write: bool | None = None
) -> SupportGrant:
    """Let the staff in from now on, for no more than was asked for.

    Raises Forbidden for anybody but an owner, and for who has asked; InvalidState for
    what is no open question any more.
    """
    actor = acting()
    if actor.kind != "user" or OrganizationRole.OWNER not in actor.roles:
        raise Forbidden("A support grant is approved by an owner of the organization.")
    if actor.id == grant.staff_id:
        raise Forbidden("A support grant is approved by somebody else than its holder.")
    grant = _locked(grant)
    if grant.state != GrantState.PENDING:
        raise InvalidState(f"This support grant is {grant.state}; ask for another one.")
    if may_write and not grant.may_write:
        raise InvalidInput("may_write=True: only reading was asked for.")
    if hours is not None:
        _check_hours(hours, grant.hours)
        grant.hours = hours
    grant.may_write = grant.may_write if may_write is None else may_write
    grant.approved_by = actor.id
    _open(grant)
    grant.save()
    return grant


@transaction.atomic
def revoke_grant(grant: SupportGrant) -> SupportGrant:
    """End or decline it, from the next page on; doing so twice changes nothing."""
    grant = _locked(grant)
    if grant.revoked_at is None:
        grant.revoked_at, grant.revoked_by = timezone.now(), acting().id
        grant.save(update_fields=["revoked_at", "revoked_by", "updated_at"])
    return grant


def _locked(grant: SupportGrant) -> SupportGrant:
    rows = SupportGrant.objects.select_for_update(no_key=True)
    grant.refresh_from_db(from_queryset=rows)
    return grant


def _tell_owners(grant: SupportGrant) -> None:
    """The mail leaves after the commit; a mailbox out of reach undoes nothing."""
    owners = Membership.objects.filter(
        organization_id=grant.organization_id,
        role=OrganizationRole.OWNER,
        user__is_active=True,
    )
    addresses = owners.exclude(user__email="").values_list("user__email", flat=True)
    organization = Organization.objects.get(pk=grant.organization_id)
    context = {"grant": grant, "organization": organization, "site": settings.BASE_URL}
    text = render_to_string(MAIL, context)
    subject = "Support has entered" if grant.break_glass else "Support asks to enter"
    using = bound_alias() or DEFAULT_DB_ALIAS
    for address in addresses:
        send = partial(send_mail, f"{subject} {organization}", text, None, [address])
        transaction.on_commit(send, using=using, robust=True)

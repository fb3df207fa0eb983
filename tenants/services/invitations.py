"""Invitations: an address is asked to join, by a link that works once.

The mailed link proves who reads the mailbox. The link that the inviter is shown proves
nothing: who joins by it gets no e-mail address, or an inviter could take up an account
under somebody else's.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import DEFAULT_DB_ALIAS, transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from mlops.db.uniques import claiming
from mlops.errors import (
    AlreadyExists,
    InvalidInput,
    InvalidState,
    NotFound,
    TooManyRequests,
)
from tenants.context import acting, bound_alias
from tenants.models import (
    Invitation,
    Membership,
    Organization,
    OrganizationRole,
    Project,
    ProjectMember,
    ProjectRole,
    User,
)
from tenants.services import addresses
from tenants.services.rights import demand_organization_role

NOUN = "invitation"
DAYS = 7
SECRET_BYTES = 32
PREFIX = "mli_"
# Else one request after the other would fill a mailbox, or the table.
RESEND_SECONDS = 60
MOST_PENDING = 500
MAIL, NOTICE = "accounts/mail/invitation.txt", "accounts/mail/joined.txt"
UNUSABLE = "This invitation does not work, or no longer: ask for a new one."


def draw_secret() -> str:
    """Draw 256 bits behind a prefix by which mlops.redaction keeps them out of logs."""
    return PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def link_to(secret: str) -> str:
    return settings.BASE_URL + reverse("invitation", args=[secret])


def invite(
    organization: Organization,
    *,
    email: str,
    role: str = OrganizationRole.MEMBER,
    project_roles: Mapping[Project, str] | None = None,
) -> tuple[Invitation, str]:
    """Mail a link to the address, and return another one for the inviter to hand on.

    Raises Forbidden for a role above the actor's own, AlreadyExists for a member and
    for an address with a pending invitation.
    """
    demand_organization_role(role)
    email = checked_address(email)
    _refuse_member(organization, email)
    _make_room(organization, email)
    actor = acting()
    invitation = Invitation(
        organization=organization,
        email=email,
        role=role,
        project_roles=checked_roles(project_roles or {}),
        invited_by=actor.id if actor.kind == "user" else None,
    )
    link = _send(invitation)
    with claiming(NOUN, email=email):
        invitation.save(force_insert=True)
    return invitation, link


def checked_address(email: str) -> str:
    """Raises InvalidInput for what is no e-mail address; letter case does not count."""
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidInput(f"email={email[:80]!r} is no e-mail address.") from None
    return email


def checked_roles(project_roles: Mapping[Project, str]) -> dict[str, str]:
    unknown = set(project_roles.values()) - set(ProjectRole.values)
    if unknown:
        known = ", ".join(ProjectRole.values)
        raise InvalidInput(f"role={unknown.pop()!r}: use one of {known}.")
    return {str(project.pk): role for project, role in project_roles.items()}


def _refuse_member(organization: Organization, email: str) -> None:
    belonging = Membership.objects.filter(
        organization=organization, user__email__iexact=email
    )
    if belonging.exists():
        raise AlreadyExists(f"A member with the e-mail {email!r} already exists.")


def _make_room(organization: Organization, email: str) -> None:
    """An invitation that has expired gives way to a new one."""
    pending = Invitation.objects.filter(organization=organization).pending()
    now = timezone.now()
    pending.filter(email=email, expires_at__lte=now).update(revoked_at=now)
    if pending.count() >= MOST_PENDING:
        raise InvalidState(
            f"{MOST_PENDING} invitations are pending; revoke some before you send more."
        )


def resend_invitation(invitation: Invitation) -> tuple[Invitation, str]:
    """Mail a new link for another seven days; the ones before stop working."""
    invitation = _locked(invitation)
    demand_organization_role(invitation.role)
    refuse_settled(invitation)
    age = timezone.now() - invitation.sent_at
    if age < timedelta(seconds=RESEND_SECONDS):
        raise TooManyRequests(
            f"It was sent less than {RESEND_SECONDS} seconds ago; wait a little."
        )
    actor = acting()
    # Whoever sends it again answers for it from now on.
    invitation.invited_by = actor.id if actor.kind == "user" else None
    link = _send(invitation)
    invitation.save()
    return invitation, link


def revoke_invitation(invitation: Invitation) -> Invitation:
    """End its links; ending it twice changes nothing."""
    invitation = _locked(invitation)
    demand_organization_role(invitation.role)
    if invitation.accepted_at is None and invitation.revoked_at is None:
        invitation.revoked_at = timezone.now()
        invitation.save(update_fields=["revoked_at", "updated_at"])
    return invitation


def refuse_settled(invitation: Invitation) -> None:
    if invitation.accepted_at is not None or invitation.revoked_at is not None:
        raise InvalidState("It is accepted or revoked already; invite once more.")


def _locked(invitation: Invitation) -> Invitation:
    rows = Invitation.objects.select_for_update(no_key=True, of=("self",))
    invitation.refresh_from_db(from_queryset=rows)
    return invitation


def _send(invitation: Invitation) -> str:
    """Draw both secrets and mail one; the other's link is returned, and kept nowhere.

    The mail leaves after the commit, and a mailbox that cannot be reached undoes
    nothing: the link can be handed on.
    """
    shown, mailed = draw_secret(), draw_secret()
    invitation.shown_digest, invitation.mailed_digest = map(digest_of, (shown, mailed))
    invitation.sent_at = timezone.now()
    invitation.expires_at = invitation.sent_at + timedelta(days=DAYS)
    organization = _name_of(invitation)
    context: dict[str, object] = {"organization": organization}
    context["link"] = link_to(mailed)
    _mail_later(invitation, invitation.email, f"Join {organization}", MAIL, context)
    return link_to(shown)


def _name_of(invitation: Invitation) -> str:
    return Organization.objects.get(pk=invitation.organization_id).name


def _mail_later(
    invitation: Invitation,
    address: str,
    subject: str,
    template: str,
    context: dict[str, object],
) -> None:
    common = {"invitation": invitation, "site": settings.BASE_URL}
    text = render_to_string(template, {**common, **context})
    # A line break in a name would be a header of its own.
    send = partial(send_mail, " ".join(subject.split()), text, None, [address])
    using = bound_alias() or DEFAULT_DB_ALIAS
    transaction.on_commit(send, using=using, robust=True)


# Acceptance. The actor is the person who joins, bound to the organization.


def join(invitation: Invitation, *, user: User, is_mailed: bool) -> Membership:
    """Make the person a member. Raises NotFound unless the invitation still works,
    Forbidden when it was meant for somebody else.

    Somebody who is a member already keeps the role that they have.
    """
    invitation = _claimed(invitation)
    addresses.refuse_other_person(user, invitation.email)
    if is_mailed:
        addresses.prove(user, invitation.email)
    return _settle(invitation, user)


def join_as_new_person(
    invitation: Invitation, *, user: User, password: str, is_mailed: bool
) -> Membership:
    """Store the account and make it a member.

    `user` has its id and name; it gets the invited address if the link was mailed.
    Raises InvalidInput for a password that the rules refuse, AlreadyExists for a name
    or address in use.
    """
    invitation = _claimed(invitation)
    if is_mailed:
        _refuse_taken(invitation.email)
        user.email = invitation.email
    check_password(password, user)
    user.set_password(password)
    with claiming("user", username=user.username):
        user.save(force_insert=True)
    if is_mailed:
        addresses.prove(user, invitation.email)
    return _settle(invitation, user)


def _refuse_taken(email: str) -> None:
    if User.objects.filter(email__iexact=email).exists():
        raise AlreadyExists(
            f"Another account claims {email}. If it is yours, sign in with it and open"
            " the link again; else tell an operator."
        )


def check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput(" ".join(error.messages)) from None


def _claimed(invitation: Invitation) -> Invitation:
    """Lock it, so that of two who open the link at once only one joins."""
    invitation = _locked(invitation)
    settled = invitation.accepted_at is not None or invitation.revoked_at is not None
    if settled or invitation.expires_at <= timezone.now():
        raise NotFound(UNUSABLE)
    return invitation


def _settle(invitation: Invitation, user: User) -> Membership:
    membership = _membership(invitation, user)
    _join_projects(invitation, user)
    invitation.accepted_at = timezone.now()
    invitation.accepted_by = user.pk
    invitation.save(update_fields=["accepted_at", "accepted_by", "updated_at"])
    _tell_inviter(invitation, user)
    return membership


def _membership(invitation: Invitation, user: User) -> Membership:
    belonging = Membership.objects.filter(
        organization=invitation.organization_id, user=user
    )
    if (present := belonging.first()) is not None:
        return present
    membership = Membership(
        organization_id=invitation.organization_id, user=user, role=invitation.role
    )
    membership.save(force_insert=True)
    return membership


def _join_projects(invitation: Invitation, user: User) -> None:
    """Projects deleted since, and those the person is in already, are passed over."""
    asked = Project.objects.filter(pk__in=invitation.project_roles)
    held = ProjectMember.objects.filter(user=user).values("project_id")
    ProjectMember.objects.bulk_create(
        ProjectMember(
            organization_id=invitation.organization_id,
            project=project,
            user=user,
            role=invitation.project_roles[str(project.pk)],
        )
        for project in asked.exclude(pk__in=held)
    )


def _tell_inviter(invitation: Invitation, user: User) -> None:
    """A link that went astray must not let somebody in unnoticed."""
    if invitation.invited_by is None:
        return
    inviter = User.objects.filter(pk=invitation.invited_by).first()
    if inviter is None or not inviter.email:
        return
    subject = f"{user.username} has joined by your invitation"
    context: dict[str, object] = {"user": user}
    context["organization"] = _name_of(invitation)
    _mail_later(invitation, inviter.email, subject, NOTICE, context)

"""People who come from the identity provider: who they are here, and what they get."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from mlops.db.uniques import claiming
from mlops.db.uuid7 import uuid7
from mlops.errors import Conflict, Forbidden, InvalidInput
from tenants import sql
from tenants.context import Actor, record, tenant_transaction
from tenants.models import (
    Invitation,
    Membership,
    Organization,
    OrganizationRole,
    SingleSignOn,
    User,
)
from tenants.services import addresses, invitations

REASON = "single sign-on"
# What a group may give; an owner is made by an owner.
GRANTED = (OrganizationRole.MEMBER, OrganizationRole.ADMIN)
MOST_GROUPS = 100
DOMAIN = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
UNFIT = re.compile(r"[^\w.@+-]+")


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the provider vouches for."""

    email: str
    is_verified: bool
    username: str = ""
    first_name: str = ""
    last_name: str = ""
    groups: frozenset[str] = frozenset()

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]


@contextmanager
def acting_in(organization: UUID, person: User) -> Iterator[Actor]:
    actor = Actor(kind="user", id=person.pk, label=person.username)
    with tenant_transaction(actor, organization, reason=REASON) as bound:
        yield bound


def welcome(arrival: Arrival, *, linked: QuerySet) -> User:
    """Return the person behind an account of the provider that was never seen before.

    An address leads to an existing account only where an organization has verified the
    domain, and only once (`linked` are those who have come by the provider already).
    Raises Forbidden for who has neither an invitation nor an organization here.
    """
    if not arrival.is_verified or not arrival.email:
        raise Forbidden(
            "The identity provider has not verified your e-mail address. Let it do so,"
            " then sign in again."
        )
    places = sql.sign_on_places(uuid7(), arrival.domain)
    known = User.objects.filter(email__iexact=arrival.email).first()
    if known is not None:
        _refuse_link(known, arrival, bool(places), linked)
        return known
    if not places and not sql.invitations_for(arrival.email):
        raise Forbidden(
            f"No organization here knows {arrival.email}. Ask an owner or admin of"
            " yours to invite this address, then sign in again."
        )
    return _new_person(arrival)


def _refuse_link(
    known: User, arrival: Arrival, is_verified_domain: bool, linked: QuerySet
) -> None:
    is_powerful = known.is_staff or known.is_superuser
    is_proven = arrival.email in addresses.proven_by(known)
    is_taken = linked.filter(user_id=known.pk).exists()
    if is_powerful or is_taken or not (is_verified_domain and is_proven):
        raise Forbidden(
            f"{arrival.email} belongs to an account that signs in another way. Sign in"
            " that way, then connect the provider on the page of your account."
        )


def _new_person(arrival: Arrival) -> User:
    person = User(
        id=uuid7(),
        username=_free_name(arrival),
        email=arrival.email,
        first_name=arrival.first_name[:150],
        last_name=arrival.last_name[:150],
    )
    person.set_unusable_password()
    with claiming("user", username=person.username):
        person.save(force_insert=True)
    addresses.prove(person, arrival.email)
    return person


def _free_name(arrival: Arrival) -> str:
    """The name that the provider knows: made fit and, if taken, made different."""
    wanted = UNFIT.sub("-", arrival.username or arrival.email.partition("@")[0])
    wanted = wanted.strip("-")[:140] or "person"
    if not User.objects.filter(username__iexact=wanted).exists():
        return wanted
    return f"{wanted}-{uuid7().hex[-8:]}"


def settle(person: User, arrival: Arrival) -> None:
    """Give the person what their address and groups are good for, at each sign-in."""
    if not arrival.is_verified or not arrival.email:
        return
    if arrival.email in addresses.proven_by(person):
        for organization, key in sql.invitations_for(arrival.email):
            with acting_in(organization, person):
                row = Invitation.objects.fetch(pk=key)
                invitations.join(row, user=person, is_mailed=True)
    for place in sql.sign_on_places(person.pk, arrival.domain):
        with acting_in(place[0], person):
            _settle_in(person, arrival, *place)


def _settle_in(
    person: User,
    arrival: Arrival,
    organization_id: UUID,
    group_roles: Mapping[str, str],
    owns_domain: bool,
    role: str | None,
    was_member: bool,
) -> None:
    """An owner's role is no group's to change, and who was removed stays outside."""
    wanted = role_of(arrival.groups, group_roles) if owns_domain else ""
    if role is None and owns_domain and not was_member:
        Membership(
            organization_id=organization_id,
            user=person,
            role=wanted or OrganizationRole.MEMBER,
        ).save(force_insert=True)
    elif role in GRANTED and wanted and wanted != role:
        rows = Membership.objects.filter(user=person)
        membership = rows.select_for_update().get()
        membership.role = wanted
        membership.save(update_fields=["role", "updated_at"])


def role_of(groups: Collection[str], group_roles: Mapping[str, str]) -> str:
    """Return the highest role of the groups; without a map, none has a say."""
    if not group_roles:
        return ""
    order = [str(role) for role in GRANTED]
    held = {group_roles[group] for group in groups if group in group_roles}
    return max(held & set(order), key=order.index, default=str(OrganizationRole.MEMBER))


# Passwords


def refuse_password(person: User) -> None:
    """Raises Forbidden where the person's organization lets them in by the provider
    only. Its owners may, with an entry in its trail; superusers belong to nobody."""
    if person.is_superuser:
        return
    for organization, slug, role in sql.closed_to_passwords(person.pk):
        if role != OrganizationRole.OWNER:
            raise Forbidden(
                f"{slug} lets its people in by single sign-on only. Use that, or ask an"
                " owner."
            )
        with acting_in(organization, person):
            record("user.broke_glass", target=person)


# Settings of an organization


def single_sign_on_of(organization: Organization) -> SingleSignOn:
    """Return the settings; those never set are the defaults, not yet stored."""
    rows = SingleSignOn.objects.filter(organization=organization)
    return rows.first() or SingleSignOn(organization=organization)


def change_single_sign_on(row: SingleSignOn, **changes: Any) -> SingleSignOn:
    """Change `group_roles`, `sso_only`, and for an operator `domains`.

    Raises Conflict for passwords closed with no domain whose people it would concern.
    """
    for field, value in changes.items():
        setattr(row, field, value)
    row.domains = sorted({checked_domain(domain) for domain in row.domains})
    check_group_roles(row.group_roles)
    if row.sso_only and not row.domains:
        raise Conflict(
            "sso_only=true concerns the people of your e-mail domains, and none is"
            " verified; ask an operator to verify one."
        )
    row.save()
    return row


def checked_domain(domain: str) -> str:
    domain = domain.strip().lower()
    if not DOMAIN.fullmatch(domain):
        raise InvalidInput(f"domains={domain[:80]!r}: write it like example.org.")
    return domain


def check_group_roles(group_roles: Any) -> None:
    """Raises InvalidInput unless it maps groups to roles that a group may give."""
    if not isinstance(group_roles, dict) or len(group_roles) > MOST_GROUPS:
        raise InvalidInput(f"group_roles: send an object of at most {MOST_GROUPS}.")
    for group, role in group_roles.items():
        if role not in GRANTED:
            known = " or ".join(GRANTED)
            raise InvalidInput(f"group_roles.{group[:50]}={role!r}: use {known}.")

"""How staff that is no superuser enters one organization: by a live support grant.

They choose on a page of their own, and every other page then runs on the ordinary
connection, bound to that organization: row-level security holds for them, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from mlops.errors import Forbidden, InvalidInput, NotFound
from mlops.telemetry import line_of
from tenants import sql
from tenants.context import Actor, binding, record, tenant_transaction
from tenants.models import Organization, SupportGrant, User
from tenants.models.support import MAX_HOURS
from tenants.services import support

KEY = "support_grant"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What decides who may do what stays the organization's own, whatever a grant says.
READ_ONLY_APPS = frozenset({"tenants", "audit"})
ONLY_READING = "This support grant is for reading only; ask for one that may write."


@dataclass(frozen=True, slots=True)
class Entry:
    """A grant as its holder sees it, live or still a question."""

    id: UUID
    organization_id: UUID
    slug: str
    name: str
    may_write: bool
    break_glass: bool
    expires_at: datetime | None

    @property
    def is_live(self) -> bool:
        return self.expires_at is not None and self.expires_at > timezone.now()


def entries_of(user: Any) -> list[Entry]:
    return [Entry(*row) for row in sql.support_grants(user.pk)]


def entered(request: HttpRequest) -> Entry | None:
    """Return where the person is now: chosen in this session, and still live."""
    chosen = request.session.get(KEY)
    if not chosen:
        return None
    found = (each for each in entries_of(request.user) if str(each.id) == chosen)
    return next((each for each in found if each.is_live), None)


def entry_of(request: HttpRequest) -> Entry | None:
    """Return the grant that this page was opened by; superusers need none."""
    return getattr(request, "support_entry", None)


def may_see(request: HttpRequest, model: type[models.Model]) -> bool:
    """By a grant one sees what belongs to an organization, and no account."""
    if getattr(request.user, "is_superuser", False):
        return True
    columns = {field.attname for field in model._meta.concrete_fields}
    belongs = "organization_id" in columns or model is Organization
    return belongs and entry_of(request) is not None


def may_change(request: HttpRequest, model: type[models.Model]) -> bool:
    if getattr(request.user, "is_superuser", False):
        return True
    entry = entry_of(request)
    governs = model._meta.app_label in READ_ONLY_APPS
    return entry is not None and entry.may_write and not governs


def staff_of(request: HttpRequest, entry: Entry | None = None) -> Actor:
    return Actor(
        kind="staff",
        id=request.user.pk,
        label=request.user.get_username(),
        organization_id=entry.organization_id if entry else None,
        organization=entry.slug if entry else "",
    )


def record_denial(request: HttpRequest, entry: Entry | None) -> None:
    """Enter who was kept from which page, in the trail of where they were."""
    staff = staff_of(request, entry)
    owner = staff.organization_id
    with transaction.atomic(), binding(owner, staff):
        sql.bind(DEFAULT_DB_ALIAS, str(owner or ""), str(staff), line_of(request), "")
        record("admin.entered", outcome="denied", path=request.path[:500])


def status_word(request: HttpRequest) -> list[str] | None:
    """Say in the head of each page where one is, for how long, and how."""
    entry = entry_of(request)
    if entry is None or entry.expires_at is None:
        return None
    how = "may write" if entry.may_write else "reading only"
    until = f"{entry.expires_at:%H:%M} UTC"
    return [f"Support in {entry.slug} until {until}, {how}", "danger"]


# The page where one chooses


class Question(forms.Form):
    """What staff asks an organization's owners."""

    organization = forms.SlugField(
        max_length=63,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its address, such as acme.",
    )
    reason = forms.CharField(
        min_length=support.LEAST_REASON,
        max_length=support.MOST_REASON,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="Its owners read this; name the ticket.",
    )
    hours = forms.IntegerField(
        min_value=1,
        max_value=MAX_HOURS,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    may_write = forms.BooleanField(
        label="Change things, not only read",
        required=False,
        widget=UnfoldBooleanWidget,
    )
    break_glass = forms.BooleanField(
        label="Break the glass: enter now, without an owner's word",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="All owners get a mail, and their audit trail says so.",
    )


def answer(request: HttpRequest, question: Question) -> None:
    """Do what a button of the page says. Raises a DomainError when it cannot."""
    match request.POST.get("do"):
        case "enter":
            _enter(request)
        case "leave":
            _leave(request)
        case "ask":
            _ask(request, question)
        case other:
            raise InvalidInput(f"do={str(other)[:20]!r}: use enter, leave or ask.")


def _enter(request: HttpRequest) -> None:
    wanted = request.POST.get("grant", "")
    for entry in entries_of(request.user):
        if str(entry.id) == wanted and entry.is_live:
            request.session[KEY] = wanted
            _note("support.entered", request, entry)
            return
    raise Forbidden("You hold no live support grant for that organization.")


def _leave(request: HttpRequest) -> None:
    entry = entered(request)
    request.session.pop(KEY, None)
    if entry is not None:
        _note("support.left", request, entry)


def _note(action: str, request: HttpRequest, entry: Entry) -> None:
    with tenant_transaction(staff_of(request, entry), request_line=line_of(request)):
        record(action, target=SupportGrant(pk=entry.id))


def _ask(request: HttpRequest, question: Question) -> None:
    if not question.is_valid():
        return
    asked = question.cleaned_data
    slug = asked.pop("organization")
    person: Any = request.user
    organization_id = sql.support_organization(person.pk, slug)
    if organization_id is None:
        raise NotFound(f"organization={slug!r}: no organization has this address.")
    staff = Actor(
        kind="staff",
        id=person.pk,
        label=person.get_username(),
        organization_id=organization_id,
    )
    with tenant_transaction(staff, request_line=line_of(request)):
        support.request_grant(
            Organization(pk=organization_id),
            staff=User.objects.get(pk=person.pk),
            **asked,
        )
    now = "You may enter now." if asked["break_glass"] else "Its owners decide."
    messages.success(request, f"Asked for {slug}. {now}")

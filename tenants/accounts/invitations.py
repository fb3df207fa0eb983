"""The page that a link of an invitation opens.

A look at it uses nothing up, because mail scanners look at every link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from django import forms
from django.contrib import messages
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from mlops.db.uuid7 import uuid7
from mlops.errors import DomainError, NotFound
from mlops.telemetry import line_of
from tenants import sql
from tenants.context import Actor, tenant_transaction
from tenants.models import Invitation, Organization, User
from tenants.services import addresses, invitations

NAME_LENGTH = 150
PASSWORD_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link leads to."""

    secret: str
    organization_id: UUID
    invitation_id: UUID
    is_mailed: bool

    @property
    def address(self) -> str:
        return reverse("invitation", args=[self.secret])

    def row(self) -> Invitation:
        invitation: Invitation = Invitation.objects.fetch(pk=self.invitation_id)
        return invitation


class NewPerson(forms.Form):
    username = forms.CharField(
        label="User name",
        max_length=NAME_LENGTH,
        validators=[UnicodeUsernameValidator()],
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        max_length=PASSWORD_LENGTH,
        strip=False,
        help_text="At least 12 characters.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label="Password again",
        max_length=PASSWORD_LENGTH,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("password"):
            raise forms.ValidationError("The two passwords differ.")
        return again


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    response = respond(request, secret)
    # The address holds the secret, so no page that it leads to may learn it.
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def respond(request: HttpRequest, secret: str) -> HttpResponse:
    found = sql.find_invitation(invitations.digest_of(secret))
    if found is None:
        return unusable(request)
    opened = Opened(secret, *found)
    try:
        if request.user.is_authenticated:
            return for_member(request, opened, request.user)
        return for_stranger(request, opened)
    except NotFound:
        return unusable(request)


def unusable(request: HttpRequest) -> HttpResponse:
    """One page for used, expired, revoked and invented links: none tells which."""
    context = {"message": invitations.UNUSABLE}
    return render(request, "accounts/invitation_unusable.html", context, status=404)


def for_member(request: HttpRequest, opened: Opened, user: User) -> HttpResponse:
    """Somebody who has signed in joins with one click, if it is meant for them."""
    actor = Actor(kind="user", id=user.pk, label=user.username)
    problem = ""
    try:
        with entering(request, opened, actor):
            row = opened.row()
            addresses.refuse_other_person(user, row.email)
            if request.method == "POST":
                invitations.join(row, user=user, is_mailed=opened.is_mailed)
    except DomainError as error:
        if isinstance(error, NotFound):
            raise
        problem = error.message
    if request.method == "POST" and not problem:
        return welcome(request, opened, actor)
    status = 403 if problem else 200
    return page(request, opened, actor, status=status, problem=problem)


def for_stranger(request: HttpRequest, opened: Opened) -> HttpResponse:
    """A new person chooses a name and a password; one who has an account signs in."""
    actor = Actor(kind="anonymous")
    with entering(request, opened, actor):
        has_account = addresses.holder_of(opened.row().email) is not None
    form = NewPerson(request.POST or None)
    if request.method == "POST" and not has_account and form.is_valid():
        try:
            return sign_up(request, opened, form.cleaned_data)
        except DomainError as error:
            if isinstance(error, NotFound):
                raise
            form.add_error(None, error.message)
    status = 400 if request.method == "POST" else 200
    return page(
        request, opened, actor, status=status, form=form, has_account=has_account
    )


def sign_up(request: HttpRequest, opened: Opened, asked: dict[str, Any]) -> Any:
    user = User(id=uuid7(), username=User.normalize_username(asked["username"]))
    actor = Actor(kind="user", id=user.pk, label=user.username)
    with entering(request, opened, actor):
        invitations.join_as_new_person(
            opened.row(),
            user=user,
            password=asked["password"],
            is_mailed=opened.is_mailed,
        )
    record_authentication(request, user, method="password")
    landing = reverse("organization-page", args=[slug_of(request, opened, actor)])
    return perform_login(request, user, email_verification="none", redirect_url=landing)


def entering(request: HttpRequest, opened: Opened, actor: Actor) -> Any:
    """Bind the organization: holding a link that works is the right to see it."""
    return tenant_transaction(
        actor,
        opened.organization_id,
        request_line=line_of(request),
        reason="invitation",
    )


def slug_of(request: HttpRequest, opened: Opened, actor: Actor) -> str:
    with entering(request, opened, actor):
        return Organization.objects.get(pk=opened.organization_id).slug


def welcome(request: HttpRequest, opened: Opened, actor: Actor) -> HttpResponse:
    slug = slug_of(request, opened, actor)
    messages.success(request, f"You have joined {slug}.")
    return redirect("organization-page", organization=slug)


def page(
    request: HttpRequest,
    opened: Opened,
    actor: Actor,
    *,
    status: int,
    **more: Any,
) -> HttpResponse:
    with entering(request, opened, actor):
        row = opened.row()
        organization = Organization.objects.get(pk=opened.organization_id)
        context = {"invitation": row, "organization": organization, **more}
        context["address"] = opened.address
        return render(request, "accounts/invitation.html", context, status=status)

"""A person's page of one organization: projects, how to reach them, tokens, members.

The middleware admits and binds, as it does for REST; writes go through the services.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from mlops.api.exceptions import response_of
from mlops.errors import DomainError, Forbidden
from tenants.context import Actor
from tenants.models import (
    ApiToken,
    Invitation,
    Membership,
    Organization,
    OrganizationRole,
    Project,
    ProjectMember,
    ProjectRole,
    User,
)
from tenants.permissions import Permission, allows
from tenants.querysets import RULERS
from tenants.services import invitations, members, tokens
from tenants.services.rights import PROJECT_ORDER

# One page; whoever has more uses REST.
MOST_SHOWN = 100
EVERYTHING, READING = "everything", "reading"
READ_RIGHTS = [name for name in Permission.values if name.endswith(":read")]
RIGHTS = {EVERYTHING: [tokens.EVERYTHING], READING: READ_RIGHTS}

View = Callable[..., HttpResponseBase]


class NewToken(forms.Form):
    name = forms.CharField(label="Name", max_length=100)
    projects = forms.MultipleChoiceField(
        label="Projects",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: all that you may see, now and later.",
    )
    rights = forms.ChoiceField(
        label="May",
        choices=[(EVERYTHING, "do all that I may do"), (READING, "only read")],
    )
    days = forms.IntegerField(
        label="Lives for days",
        min_value=1,
        max_value=tokens.MAX_DAYS,
        initial=tokens.DEFAULT_DAYS,
    )

    def __init__(self, projects: list[Project], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["projects"]
        field.choices = [(project.slug, project.name) for project in projects]
        if not projects:
            del self.fields["projects"]


class NewInvitation(forms.Form):
    email = forms.EmailField(label="E-mail", max_length=254)
    role = forms.ChoiceField(
        choices=OrganizationRole.choices, initial=OrganizationRole.MEMBER
    )


def organization_page(
    needs: str | dict[str, str],
) -> Callable[[View], View]:
    """Declare what a page needs. Pages are for people: a token is sent to REST."""

    def declare(view: View) -> View:
        @wraps(view)
        def page(request: HttpRequest, **names: Any) -> HttpResponseBase:
            if actor_of(request).token:
                raise Forbidden("This page is for people; a token uses /api/v1/.")
            return view(request, **names)

        page.needs = needs  # type: ignore[attr-defined]
        page.refuse = refuse  # type: ignore[attr-defined]
        return page

    return declare


def refuse(request: HttpRequest, error: DomainError) -> HttpResponseBase:
    """Send people to sign in, show them what was refused, and tell programs in JSON."""
    if "text/html" not in request.META.get("HTTP_ACCEPT", ""):
        return response_of(error)
    if error.status == 401:
        return redirect(f"{resolve_url(settings.LOGIN_URL)}?next={request.path}")
    context = {"error": error}
    return render(request, "accounts/refused.html", context, status=error.status)


def actor_of(request: HttpRequest) -> Actor:
    return request.actor  # type: ignore[attr-defined]


def bound(request: HttpRequest) -> Organization:
    key: Any = actor_of(request).organization_id
    organization: Organization = Organization.objects.get(pk=key)
    return organization


def person_of(request: HttpRequest) -> User:
    key: Any = actor_of(request).id
    return User.objects.get(pk=key)


@organization_page(Permission.ORGANIZATION_READ)
@require_http_methods(["GET", "HEAD"])
def show(request: HttpRequest, organization: str) -> HttpResponse:
    return page(request)


def page(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    """Show all of it; a constant number of queries, whatever there is."""
    actor = actor_of(request)
    projects = projects_of(actor)
    context = {
        "organization": bound(request),
        "role": next(iter(actor.roles), ""),
        "projects": projects,
        "tokens": tokens_of(actor, projects),
        "new_token": NewToken(projects),
        "base_url": settings.BASE_URL,
        **members_of(actor),
        **more,
    }
    return render(request, "accounts/organization.html", context, status=status)


def projects_of(actor: Actor) -> list[Any]:
    """Return what the person may see, each with the role that they have in it."""
    seen = Project.objects.visible_to(actor).order_by("slug")[:MOST_SHOWN]
    held = ProjectMember.objects.filter(user=actor.id)
    own = dict(held.values_list("project_id", "role"))
    projects: list[Any] = list(seen)
    for project in projects:
        project.role = role_in(project, actor, own.get(project.pk))
    return projects


def role_in(project: Project, actor: Actor, own: str | None) -> str:
    if actor.roles & RULERS:
        return ProjectRole.MAINTAINER
    order = [str(role) for role in PROJECT_ORDER]
    held = [role for role in (own, project.default_role) if role in order]
    return max(map(str, held), key=order.index, default="")


def tokens_of(actor: Actor, projects: list[Project]) -> list[Any]:
    rows = ApiToken.objects.filter(user=actor.id).usable()
    living = rows.filter(expires_at__gt=timezone.now())
    found: list[Any] = list(living[:MOST_SHOWN])
    slugs = {project.pk: project.slug for project in projects}
    for token in found:
        token.reach = [slugs.get(key, "no longer yours") for key in token.project_ids]
    return found


def members_of(actor: Actor) -> dict[str, Any]:
    """What owners and admins see of the others."""
    if not allows(actor, Permission.MEMBERS_WRITE):
        return {"rules": False}
    people = Membership.objects.select_related("user")
    return {
        "rules": True,
        "members": people.order_by("user__username")[:MOST_SHOWN],
        "invitations": Invitation.objects.pending()[:MOST_SHOWN],
        "new_invitation": NewInvitation(),
    }


# Tokens


@organization_page(Permission.TOKENS_WRITE)
@require_POST
def issue_token(request: HttpRequest, organization: str) -> HttpResponse:
    actor = actor_of(request)
    projects = projects_of(actor)
    form = NewToken(projects, request.POST)
    if not form.is_valid():
        return page(request, status=400, new_token=form)
    asked = form.cleaned_data
    chosen = set(asked.get("projects", ()))
    token, text = tokens.issue_token(
        bound(request),
        person_of(request),
        name=asked["name"],
        projects=[project for project in projects if project.slug in chosen],
        permissions=RIGHTS[asked["rights"]],
        days=asked["days"],
    )
    return shown_once(request, token, text)


@organization_page(Permission.TOKENS_WRITE)
@require_POST
def rotate_token(request: HttpRequest, organization: str, token: str) -> HttpResponse:
    row, text = tokens.rotate_token(own_token(request, token))
    return shown_once(request, row, text)


@organization_page(Permission.TOKENS_WRITE)
@require_POST
def revoke_token(request: HttpRequest, organization: str, token: str) -> HttpResponse:
    row = tokens.revoke_token(own_token(request, token), reason="by its holder")
    messages.success(request, f"The token {row.name} no longer works.")
    return redirect("organization-page", organization=organization)


def own_token(request: HttpRequest, key: str) -> ApiToken:
    row: ApiToken = ApiToken.objects.filter(user=actor_of(request).id).fetch(pk=key)
    return row


def shown_once(request: HttpRequest, token: ApiToken, text: str) -> HttpResponse:
    """Show the secret in this answer only: no cookie, session or row holds it."""
    context = {"token": token, "text": text, "organization": bound(request)}
    return render(request, "accounts/token.html", context)


# Members


@organization_page(Permission.MEMBERS_WRITE)
@require_POST
def invite(request: HttpRequest, organization: str) -> HttpResponse:
    form = NewInvitation(request.POST)
    if not form.is_valid():
        return page(request, status=400, new_invitation=form)
    row, link = invitations.invite(bound(request), **form.cleaned_data)
    context = {"invitation": row, "link": link, "organization": bound(request)}
    return render(request, "accounts/invited.html", context)


@organization_page(Permission.MEMBERS_WRITE)
@require_POST
def revoke_invitation(
    request: HttpRequest, organization: str, invitation: str
) -> HttpResponse:
    row = invitations.revoke_invitation(Invitation.objects.fetch(pk=invitation))
    messages.success(request, f"The invitation of {row.email} no longer works.")
    return redirect("organization-page", organization=organization)


@organization_page(Permission.ORGANIZATION_READ)
@require_POST
def leave(request: HttpRequest, organization: str) -> HttpResponse:
    own = Membership.objects.fetch(user=actor_of(request).id)
    members.remove_member(own)
    keep_session(request)
    messages.success(request, f"You have left {organization}.")
    return redirect("home")


def keep_session(request: HttpRequest) -> None:
    """A change of rights ends all sessions; this one has asked for it itself."""
    request.session[HASH_SESSION_KEY] = person_of(request).get_session_auth_hash()

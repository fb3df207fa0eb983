from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from mlops.errors import InvalidInput
from tenants.admin.base import TenantAdmin
from tenants.admin.members import role_badge
from tenants.admin.tokens import tokens_panel
from tenants.admin_panels import (
    Panel,
    badge,
    code,
    link,
    link_to,
    list_url,
    timeline_url,
    when,
)
from tenants.models import ApiToken, Membership, User
from tenants.services import erasure, sessions

# Roles stand in memberships; Django's groups and permissions decide nothing here.
# Addresses, second factors and sessions are shown on the page of whose they are;
# allauth's own pages would let one edit the secrets.
for model in (Group, EmailAddress, Authenticator, UserSession):
    admin.site.unregister(model)


@admin.register(User)
class UserAdmin(TenantAdmin, DjangoUserAdmin):  # type: ignore[misc]
    """People and how they sign in; what they may do stands in their memberships."""

    form = UserChangeForm
    add_form = UserCreationForm
    add_fieldsets = DjangoUserAdmin.add_fieldsets
    change_password_form = AdminPasswordChangeForm
    list_display = ("person", "memberships", "entry", "active", "signed_in", "joined")
    list_filter = (
        ("is_active", BooleanRadioFilter),
        ("is_staff", BooleanRadioFilter),
        ("is_superuser", BooleanRadioFilter),
    )
    search_fields = ("username", "email", "last_name")
    search_help_text = "Id, or start of the user name, e-mail or last name"
    searched = None
    in_palette = True
    ordering = ("-id",)
    actions = (
        "end_sessions",
        "reset_second_factor",
        "unlock_sign_in",
        "erase_person",
    )
    filter_horizontal = ()
    editable = (
        "username",
        "email",
        "password",
        "first_name",
        "last_name",
        "is_active",
        "is_staff",
        "is_superuser",
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("username", "email"),
                    ("first_name", "last_name"),
                    "password",
                    ("is_active", "is_staff", "is_superuser"),
                    ("signed_in", "joined"),
                    "key",
                )
            },
        ),
    )

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm, change: bool
    ) -> None:
        # Accounts have Django's own forms, which hash the password.
        obj.save()

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        mine = Membership.objects.filter(user=OuterRef("pk"))
        grouped = mine.order_by().values("user").annotate(count=Count("pk"))
        count = Subquery(grouped.values("count"))
        return super().get_queryset(request).annotate(membership_count=count)

    @display(description="Person", header=True)
    def person(self, row: User) -> list[str]:
        return [row.username, row.email, row.username[:2]]

    @display(description="Organizations")
    def memberships(self, row: Any) -> str:
        address = list_url("tenants_membership", user__id__exact=row.pk)
        return link(address, row.membership_count or 0)

    @display(description="Entry")
    def entry(self, row: User) -> str:
        if row.is_superuser and row.is_staff:
            return badge("superuser", "danger")
        return badge("staff", "warning") if row.is_staff else ""

    @display(description="Active", boolean=True)
    def active(self, row: User) -> bool:
        return row.is_active

    @display(description="Last sign-in")
    def signed_in(self, row: User) -> str:
        return when(row.last_login)

    @display(description="Joined")
    def joined(self, row: User) -> str:
        return when(row.date_joined)

    @display(description="Id")
    def key(self, row: User) -> str:
        return code(row.pk)

    def panels(self, request: HttpRequest, row: User) -> list[Panel]:
        memberships = Membership.objects.filter(user_id=row.pk).select_related(
            "organization"
        )
        lines = [
            [
                link_to(m.organization),
                role_badge(m),
                when(m.created_at),
                did_in(row, m.organization_id),
            ]
            for m in memberships.order_by("-id")[:20]
        ]
        return [
            Panel(
                "Organizations",
                ("Organization", "Role", "Since", "Did there"),
                lines,
                link=timeline_url(organization="none", actor_id=row.pk),
                note="All: what they did outside of any",
            ),
            tokens_panel(ApiToken.objects.filter(user_id=row.pk)),
            *sign_in_panels(row),
        ]

    @display(description="End all sessions of selected")
    def end_sessions(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self._ask_and_do(
            request,
            queryset,
            sessions.end_sessions,
            "End all sessions of",
            "signed out everywhere",
            "They must sign in again. Their API tokens go on working.",
        )

    @display(description="Reset second factor of selected")
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self._ask_and_do(
            request,
            queryset,
            sessions.reset_second_factor,
            "Reset the second factor of",
            "without a second factor",
            "Their apps, keys and recovery codes are forgotten and their sessions end;"
            " a password alone lets them in until they set up another.",
        )

    @display(description="Unlock sign-in of selected")
    def unlock_sign_in(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self._ask_and_do(
            request,
            queryset,
            sessions.unlock_sign_in,
            "Unlock",
            "unlocked",
            "Bad passwords and codes that were tried for them are forgotten.",
        )

    @display(description="Erase selected person")
    def erase_person(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act_on_one(
            request,
            queryset,
            erase,
            doing="Erase",
            done="erased",
            consequence="The account keeps its id and gets an invented name. How they"
            " signed in, their roles, tokens and invitations go, and what clients wrote"
            " of them is overwritten. The audit trail stays, which holds ids.",
        )

    def _ask_and_do(
        self,
        request: HttpRequest,
        rows: QuerySet,
        service: Callable[[User], object],
        doing: str,
        done: str,
        consequence: str,
    ) -> TemplateResponse | None:
        return self.act(
            request, rows, service, doing=doing, done=done, consequence=consequence
        )


def erase(person: User, confirm: str) -> None:
    """Raises InvalidInput unless the user name was typed."""
    if confirm != person.username:
        raise InvalidInput(f"confirm={confirm!r}: type the user name of the person.")
    erasure.erase_within(person)


def sign_in_panels(person: User) -> list[Panel]:
    """How a person signs in and where they are; never a secret."""
    factors = Authenticator.objects.filter(user_id=person.pk).order_by("pk")
    addresses = EmailAddress.objects.filter(user_id=person.pk).order_by("pk")
    places = UserSession.objects.filter(user_id=person.pk).order_by("-last_seen_at")
    return [
        Panel(
            "Second factors",
            ("Kind", "Since", "Last used"),
            [
                [
                    each.get_type_display(),
                    when(each.created_at),
                    when(each.last_used_at),
                ]
                for each in factors.defer("data")
            ],
        ),
        Panel(
            "E-mail addresses",
            ("Address", "State", ""),
            [
                [
                    each.email,
                    badge("confirmed", "success")
                    if each.verified
                    else badge("not confirmed", "warning"),
                    "primary" if each.primary else "",
                ]
                for each in addresses
            ],
        ),
        Panel(
            "Sessions",
            ("Address", "Browser", "Began", "Last seen"),
            [
                [s.ip, s.user_agent[:60], when(s.created_at), when(s.last_seen_at)]
                for s in places[:20]
            ],
        ),
    ]


def did_in(user: User, organization: UUID) -> str:
    return link(timeline_url(organization=organization, actor_id=user.pk), "history")

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tenants.admin.base import TenantAdmin
from tenants.admin.members import role_badge
from tenants.admin.tokens import tokens_panel
from tenants.admin_panels import Panel, badge, code, link, link_to, list_url, when
from tenants.models import ApiToken, Membership, User

# Roles stand in memberships; Django's groups and permissions decide nothing here.
admin.site.unregister(Group)


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
        mine = Membership.objects.filter(user=OuterRef("pk"), deleted_at__isnull=True)
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
        memberships = Membership.objects.filter(
            user_id=row.pk, deleted_at__isnull=True
        ).select_related("organization")
        lines = [
            [link_to(m.organization), role_badge(m), when(m.created_at)]
            for m in memberships.order_by("-id")[:20]
        ]
        return [
            Panel("Organizations", ("Organization", "Role", "Since"), lines),
            tokens_panel(ApiToken.objects.filter(user_id=row.pk)),
        ]

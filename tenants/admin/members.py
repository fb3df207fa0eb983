from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from tenants.admin.base import Dated, TenantAdmin
from tenants.admin.forms import OrganizationField
from tenants.admin_lists import DeletedFilter
from tenants.admin_panels import badge, link_to, stack
from tenants.models import (
    ApiToken,
    Membership,
    Organization,
    Project,
    ProjectMember,
)
from tenants.services import members

ROLE_TONES = {
    "owner": "primary",
    "admin": "info",
    "maintainer": "primary",
    "editor": "info",
}


def role_badge(row: Membership | ProjectMember) -> str:
    return badge(row.get_role_display(), ROLE_TONES.get(row.role, ""))


def holder(row: ProjectMember | ApiToken) -> str:
    """The person, or the service account, that a membership or token belongs to."""
    if row.user_id:
        return stack(link_to(row.user), "person")
    return stack(link_to(row.service_account), "service account")


class Roled:
    actions = ("remove_rows",)

    @display(description="Role")
    def role_badge(self, row: Any) -> str:
        return role_badge(row)


class NewMembership(ModelForm):
    in_organization = OrganizationField()


@admin.register(Membership)
class MembershipAdmin(Roled, Dated, TenantAdmin):
    list_display = ("person", "of_organization", "role_badge", "state", "created")
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("user", AutocompleteSelectFilter),
        ("role", ChoicesDropdownFilter),
        DeletedFilter,
    )
    list_select_related = ("organization", "user")
    search_fields = ("user__username", "user__email")
    search_help_text = "Id, or start of the user name or e-mail"
    searched = None
    autocomplete_fields = ("user",)
    editable = ("role",)
    add_form = NewMembership
    add_fieldsets = ((None, {"fields": ("in_organization", "user", "role")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("user", "of_organization"),
                    ("role", "state"),
                    ("created", "updated"),
                    "key",
                )
            },
        ),
    )

    def create_row(self, *, in_organization: Organization, **values: Any) -> Membership:
        return members.add_member(in_organization, **values)

    def change_row(self, row: Membership, **changes: Any) -> Membership:
        return members.change_role(row, **changes)

    @display(description="Person", header=True)
    def person(self, row: Membership) -> list[str]:
        return [row.user.username, row.user.email, row.user.username[:2]]

    @display(description="Remove from the organization")
    def remove_rows(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(
            request,
            queryset,
            members.remove_member,
            doing="Remove",
            done="removed",
            consequence="They leave all projects, and their tokens here are revoked.",
        )


@admin.register(ProjectMember)
class ProjectMemberAdmin(Roled, Dated, TenantAdmin):
    list_display = ("who", "where", "role_badge", "state", "created")
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("user", AutocompleteSelectFilter),
        ("role", ChoicesDropdownFilter),
        DeletedFilter,
    )
    list_select_related = (
        "organization",
        "project__organization",
        "user",
        "service_account",
    )
    search_fields = ("user__username", "service_account__name")
    search_help_text = "Id, or start of a user name or service account"
    searched = None
    autocomplete_fields = ("project", "user", "service_account")
    editable = ("role",)
    add_form = ModelForm
    add_fieldsets = (
        (None, {"fields": ("project", ("user", "service_account"), "role")}),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("user", "service_account"),
                    ("project", "role"),
                    ("state", "created", "updated"),
                    "key",
                )
            },
        ),
    )

    def create_row(self, *, project: Project, **values: Any) -> ProjectMember:
        return members.add_project_member(project, **values)

    def change_row(self, row: ProjectMember, **changes: Any) -> ProjectMember:
        return members.change_project_role(row, **changes)

    @display(description="Who", header=True)
    def who(self, row: ProjectMember) -> list[str]:
        if row.user:
            return [row.user.username, "person", row.user.username[:2]]
        return [str(row.service_account), "service account", "⚙"]

    @display(description="Remove from the project")
    def remove_rows(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(
            request,
            queryset,
            members.remove_project_member,
            doing="Remove",
            done="removed",
            consequence="They keep what their role in the organization gives them.",
        )

from __future__ import annotations

from typing import Any

from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.forms import ModelForm
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import display

from tenants.admin.base import Dated, TenantAdmin
from tenants.admin.forms import OrganizationField
from tenants.models import Organization, SingleSignOn
from tenants.services import single_sign_on

# The provider is a setting, its tokens are not kept, and an account of it is connected
# by its person alone: allauth's pages would let one edit who somebody is.
for model in (SocialApp, SocialToken, SocialAccount):
    admin.site.unregister(model)


class NewSingleSignOn(ModelForm):
    in_organization = OrganizationField()


@admin.register(SingleSignOn)
class SingleSignOnAdmin(Dated, TenantAdmin):
    """Here an operator enters the domains that it has verified to be its own."""

    list_display = ("title", "of_organization", "sso_only", "updated")
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("sso_only", BooleanRadioFilter),
    )
    list_select_related = ("organization",)
    search_fields = ("organization__slug",)
    search_help_text = "Id, or start of the organization's slug"
    searched = None
    editable = ("domains", "group_roles", "sso_only")
    add_form = NewSingleSignOn
    add_fieldsets = (
        (None, {"fields": ("in_organization", "domains", "group_roles", "sso_only")}),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("domains", "of_organization"),
                    "group_roles",
                    "sso_only",
                    ("created", "updated"),
                    "key",
                )
            },
        ),
    )

    def create_row(
        self, *, in_organization: Organization, **values: Any
    ) -> SingleSignOn:
        row = SingleSignOn(organization=in_organization)
        return single_sign_on.change_single_sign_on(row, **values)

    def change_row(self, row: SingleSignOn, **changes: Any) -> SingleSignOn:
        return single_sign_on.change_single_sign_on(row, **changes)

    @display(description="Domains")
    def title(self, row: SingleSignOn) -> str:
        return str(row)

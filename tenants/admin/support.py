from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
)
from unfold.decorators import display

from tenants.admin.base import Dated, TenantAdmin
from tenants.admin_lists import CreatedFilter
from tenants.admin_panels import badge, link_to, when
from tenants.models import SupportGrant
from tenants.services import support

TONES = {"pending": "warning", "live": "danger", "expired": "", "revoked": ""}


@admin.register(SupportGrant)
class SupportGrantAdmin(Dated, TenantAdmin):
    """Staff asks on a page of its own, and owners approve; here one can only end it."""

    list_display = (
        "who",
        "of_organization",
        "reason",
        "state",
        "how",
        "expires",
        "created",
    )
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("break_glass", BooleanRadioFilter),
        ("may_write", BooleanRadioFilter),
        CreatedFilter,
    )
    list_select_related = ("organization", "staff")
    search_fields = ("staff__username",)
    search_help_text = "Id, or start of a user name"
    actions = ("revoke_rows",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("who", "of_organization"),
                    "reason",
                    ("state", "how", "hours"),
                    ("created", "approved_at", "approved_by"),
                    ("expires", "revoked_at", "revoked_by"),
                    "key",
                )
            },
        ),
    )

    @display(description="Staff")
    def who(self, row: SupportGrant) -> str:
        return link_to(row.staff)

    @display(description="State")
    def state(self, row: SupportGrant) -> str:
        return badge(row.state.value, TONES[row.state])

    @display(description="Way in")
    def how(self, row: SupportGrant) -> str:
        way = "glass broken" if row.break_glass else "asked"
        return f"{way}, {'may write' if row.may_write else 'reading only'}"

    @display(description="Expires")
    def expires(self, row: SupportGrant) -> str:
        return when(row.expires_at)

    @display(description="Revoke selected")
    def revoke_rows(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(
            request,
            queryset,
            support.revoke_grant,
            doing="Revoke",
            done="revoked",
            consequence="Whoever holds it is refused on the next page.",
        )

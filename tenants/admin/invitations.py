from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from tenants.admin.base import Dated, TenantAdmin, note_reason
from tenants.admin.forms import OrganizationField
from tenants.admin_lists import CreatedFilter
from tenants.admin_panels import badge, change_url, when
from tenants.models import Invitation, InvitationState, Organization, Project
from tenants.services import invitations

TONES = {
    InvitationState.PENDING: "info",
    InvitationState.ACCEPTED: "success",
    InvitationState.REVOKED: "danger",
    InvitationState.EXPIRED: "",
}


class NewInvitation(ModelForm):
    in_organization = OrganizationField()


@admin.register(Invitation)
class InvitationAdmin(Dated, TenantAdmin):
    """Shows neither links nor their digests: a link is shown once, to its sender."""

    list_display = ("email", "of_organization", "role", "state", "sent")
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("role", ChoicesDropdownFilter),
        CreatedFilter,
    )
    list_select_related = ("organization",)
    search_fields = ("email",)
    search_help_text = "Id, or start of the e-mail"
    searched = None
    actions = ("resend_row", "revoke_rows")
    add_form = NewInvitation
    add_fieldsets = ((None, {"fields": ("in_organization", "email", "role")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("email", "of_organization"),
                    ("role", "state"),
                    "projects",
                    ("sent", "expires"),
                    ("accepted", "revoked"),
                    ("created", "key"),
                )
            },
        ),
    )

    def create_row(self, *, in_organization: Organization, **values: Any) -> Invitation:
        row: Any
        row, link = invitations.invite(in_organization, **values)
        row.link = link
        return row

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponseBase:
        """Show the link in this answer only: no cookie, session or row holds it."""
        return self._show(request, obj, obj.link)

    def _show(
        self, request: HttpRequest, row: Invitation, link: str
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Invitation for {row.email}",
            "link": link,
            "row": row,
            "address": change_url(row),
        }
        return TemplateResponse(request, "admin/invitation.html", context)

    @display(description="State")
    def state(self, row: Invitation) -> str:
        return badge(row.state.label, TONES[row.state])

    @display(description="Sent")
    def sent(self, row: Invitation) -> str:
        return when(row.sent_at)

    @display(description="Expires")
    def expires(self, row: Invitation) -> str:
        return when(row.expires_at)

    @display(description="Accepted")
    def accepted(self, row: Invitation) -> str:
        return when(row.accepted_at)

    @display(description="Revoked")
    def revoked(self, row: Invitation) -> str:
        return when(row.revoked_at)

    @display(description="Projects")
    def projects(self, row: Invitation) -> str:
        found = (
            Project.objects.with_deleted()
            .filter(pk__in=row.project_roles)
            .order_by("slug")
        )
        named = [f"{p.slug} ({row.project_roles[str(p.pk)]})" for p in found]
        return ", ".join(named)

    @display(description="Revoke selected")
    def revoke_rows(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(
            request,
            queryset,
            invitations.revoke_invitation,
            doing="Revoke",
            done="revoked",
            consequence="Their links stop working; who has joined already stays.",
        )

    @display(description="Send again (one invitation)")
    def resend_row(self, request: HttpRequest, queryset: QuerySet) -> Any:
        rows = list(queryset[:2])
        if len(rows) != 1:
            messages.error(request, "Select one invitation: its link is shown once.")
            return None
        if "confirmed" not in request.POST:
            told = "The links sent before stop working; a new one is mailed and shown."
            return self._ask(request, rows, "Send again", told)
        note_reason(request)
        row, link = invitations.resend_invitation(rows[0])
        return self._show(request, row, link)

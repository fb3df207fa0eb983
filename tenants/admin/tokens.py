from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminTextInputWidget,
)

from mlops.errors import InvalidInput
from tenants.admin.base import Dated, TenantAdmin, note_reason
from tenants.admin.forms import OrganizationField
from tenants.admin.members import holder
from tenants.admin_lists import CreatedFilter, DeletedFilter
from tenants.admin_panels import Panel, badge, change_url, code, link_to, stack, when
from tenants.models import (
    ApiToken,
    Organization,
    Project,
    ServiceAccount,
    User,
)
from tenants.permissions import Permission
from tenants.services import service_accounts, tokens


class NewServiceAccount(ModelForm):
    in_organization = OrganizationField()


@admin.register(ServiceAccount)
class ServiceAccountAdmin(Dated, TenantAdmin):
    list_display = ("name", "of_organization", "description", "state", "created")
    list_filter = (("organization", AutocompleteSelectFilter), DeletedFilter)
    list_select_related = ("organization",)
    search_fields = ("name",)
    search_help_text = "Id, or start of the name"
    actions = ("delete_rows",)
    editable = ("name", "description")
    add_form = NewServiceAccount
    add_fieldsets = ((None, {"fields": ("in_organization", "name", "description")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "of_organization"),
                    "description",
                    ("state", "created", "updated"),
                    "key",
                )
            },
        ),
    )

    def create_row(
        self, *, in_organization: Organization, **values: Any
    ) -> ServiceAccount:
        return service_accounts.create_service_account(in_organization, **values)

    def change_row(self, row: ServiceAccount, **changes: Any) -> ServiceAccount:
        return service_accounts.update_service_account(row, **changes)

    @display(description="Delete selected")
    def delete_rows(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(
            request,
            queryset,
            service_accounts.delete_service_account,
            doing="Delete",
            done="deleted",
            consequence="It leaves all projects, and its tokens are revoked.",
        )

    def panels(self, request: HttpRequest, row: ServiceAccount) -> list[Panel]:
        mine = ApiToken.objects.filter(
            organization_id=row.organization_id, service_account_id=row.pk
        )
        return [tokens_panel(mine)]


TONES = {
    "active": "success",
    "expires soon": "warning",
    "expired": "",
    "revoked": "danger",
}
SOON_SECONDS = 7 * 86_400


def state_of(token: ApiToken) -> str:
    if token.revoked_at:
        return "revoked"
    left = (token.expires_at - timezone.now()).total_seconds()
    if left <= 0:
        return "expired"
    return "active" if left > SOON_SECONDS else "expires soon"


def state_badge(token: ApiToken) -> str:
    state = state_of(token)
    return badge(state, TONES[state])


def masked(token: ApiToken) -> str:
    return code(f"mlp_{token.kind}_{token.public_id}…{token.last_four}")


def tokens_panel(rows: QuerySet) -> Panel:
    lines = [
        [
            stack(link_to(token, token.name), masked(token)),
            state_badge(token),
            when(token.expires_at),
            when(token.last_used_at),
        ]
        for token in rows.order_by("-id")[:10]
    ]
    return Panel("API tokens", ("Token", "State", "Expires", "Last used"), lines)


RIGHTS = [(name, name) for name in Permission.values]


class NewToken(ModelForm):
    in_organization = OrganizationField()
    rights = forms.MultipleChoiceField(
        label="Permissions",
        choices=[
            (tokens.EVERYTHING, "all that the holder may do"),
            *Permission.choices,
        ],
        initial=[tokens.EVERYTHING],
        widget=UnfoldAdminSelect2MultipleWidget,
    )
    bound_to = forms.CharField(
        label="Projects",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Slugs, separated by commas; empty: every project of the holder.",
    )
    days = forms.IntegerField(
        label="Lives for days",
        initial=tokens.DEFAULT_DAYS,
        min_value=1,
        max_value=tokens.MAX_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def clean(self) -> None:
        super().clean()
        if bool(self.cleaned_data.get("user")) == bool(
            self.cleaned_data.get("service_account")
        ):
            self.add_error(None, "Choose a person or a service account.")


@admin.register(ApiToken)
class ApiTokenAdmin(Dated, TenantAdmin):
    """Shows what tells tokens apart; neither secret nor digest ever leaves the row."""

    list_display = (
        "title",
        "held_by",
        "of_organization",
        "reach",
        "state",
        "expires",
        "used",
    )
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("user", AutocompleteSelectFilter),
        ("service_account", AutocompleteSelectFilter),
        ("kind", ChoicesDropdownFilter),
        CreatedFilter,
    )
    list_select_related = ("organization", "user", "service_account")
    search_fields = ("name", "public_id", "user__username")
    search_help_text = "Id, or start of the name, public id or user name"
    actions = ("rotate_row", "revoke_rows")
    autocomplete_fields = ("user", "service_account")
    add_form = NewToken
    add_fieldsets = (
        (
            None,
            {
                "fields": (
                    ("in_organization", "name"),
                    ("user", "service_account"),
                    ("bound_to", "days"),
                    "rights",
                )
            },
        ),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "token"),
                    ("held_by", "of_organization"),
                    ("state", "expires", "used"),
                    ("permissions", "last_used_ip_prefix"),
                    "projects",
                    ("revoked_at", "revoked_reason"),
                    ("created", "key"),
                )
            },
        ),
    )

    def create_row(
        self,
        *,
        in_organization: Organization,
        user: User | None,
        service_account: ServiceAccount | None,
        rights: list[str],
        bound_to: str,
        **values: Any,
    ) -> ApiToken:
        owner = user or service_account
        assert owner is not None, "NewToken.clean() has seen to it"
        row: Any
        row, text = tokens.issue_token(
            in_organization,
            owner,
            projects=projects_named(in_organization, bound_to),
            permissions=rights,
            **values,
        )
        row.text = text
        return row

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponseBase:
        """Show the secret in this answer only: no cookie, session or row holds it."""
        return self._show(request, obj, obj.text)

    def _show(self, request: HttpRequest, row: ApiToken, text: str) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Token {row.name}",
            "text": text,
            "row": row,
            "address": change_url(row),
        }
        return TemplateResponse(request, "admin/token.html", context)

    @display(description="Token")
    def title(self, row: ApiToken) -> str:
        return stack(row.name, masked(row))

    @display(description="Token")
    def token(self, row: ApiToken) -> str:
        return masked(row)

    @display(description="Holder")
    def held_by(self, row: ApiToken) -> str:
        return holder(row)

    @display(description="Reach")
    def reach(self, row: ApiToken) -> str:
        count = len(row.project_ids)
        where = f"{count} project{'s' * (count != 1)}" if count else "all projects"
        everything = tokens.EVERYTHING in row.permissions
        return stack(where, "everything" if everything else ", ".join(row.permissions))

    @display(description="Projects")
    def projects(self, row: ApiToken) -> str:
        found = (
            Project.objects.with_deleted()
            .filter(pk__in=row.project_ids)
            .order_by("slug")
        )
        return ", ".join(project.slug for project in found) or "all of the holder's"

    @display(description="State")
    def state(self, row: ApiToken) -> str:
        return state_badge(row)

    @display(description="Expires")
    def expires(self, row: ApiToken) -> str:
        return when(row.expires_at)

    @display(description="Last used")
    def used(self, row: ApiToken) -> str:
        return when(row.last_used_at)

    @display(description="Revoke selected")
    def revoke_rows(self, request: HttpRequest, queryset: QuerySet) -> Any:
        reason = request.POST.get("reason", "").strip()[:200]

        def revoke(row: ApiToken) -> None:
            tokens.revoke_token(row, reason=reason or "revoked in the admin")

        return self.act(
            request,
            queryset,
            revoke,
            doing="Revoke",
            done="revoked",
            consequence="Whoever uses it is refused from now on; it never comes back.",
        )

    @display(description="Give a new secret (one token)")
    def rotate_row(self, request: HttpRequest, queryset: QuerySet) -> Any:
        rows = list(queryset[:2])
        if len(rows) != 1:
            messages.error(request, "Select one token: its new secret is shown once.")
            return None
        if "confirmed" not in request.POST:
            told = "The present secret stops working at once; the new one is shown."
            return self._ask(request, rows, "Give a new secret to", told)
        note_reason(request)
        row, text = tokens.rotate_token(rows[0])
        return self._show(request, row, text)


def projects_named(organization: Organization, slugs: str) -> list[Project]:
    """Raises InvalidInput for a slug that the organization does not have."""
    wanted = [slug.strip() for slug in slugs.split(",") if slug.strip()]
    rows = Project.objects.filter(organization=organization, slug__in=wanted)
    found = {project.slug: project for project in rows}
    if missing := [slug for slug in wanted if slug not in found]:
        raise InvalidInput(f"projects={', '.join(missing)}: the organization has none.")
    return list(found.values())

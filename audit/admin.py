"""The audit trail for reading: who did what to which object, and what it was before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from audit.models import AuditLog
from tenants.admin import TenantAdmin
from tenants.admin_lists import (
    CreatedFilter,
    ExactTextFilter,
    OrganizationFilter,
    as_uuid,
)
from tenants.admin_panels import (
    NOTHING,
    Overview,
    Panel,
    badge,
    code,
    link,
    link_to,
    list_url,
    muted,
    short_id,
    stack,
    when,
)
from tenants.models import Organization, ServiceAccount, User

OUTCOME_TONES = {"ok": "success", "denied": "danger", "failed": "warning"}
LONGEST = 2000


class ActionFilter(ExactTextFilter):
    title = "action (whole, as project.created)"
    parameter_name = column = "action"


class ObjectTypeFilter(ExactTextFilter):
    title = "object type (table)"
    parameter_name = column = "object_type"


class ObjectFilter(ExactTextFilter):
    title = "object (id)"
    parameter_name = column = "object_id"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        key = as_uuid(self.value())
        return queryset.filter(**{self.column: key}) if key else queryset.none()


class ActorFilter(ObjectFilter):
    title = "actor (id)"
    parameter_name = column = "actor_id"


@admin.register(AuditLog)
class AuditLogAdmin(TenantAdmin):
    """Nobody may add, change or delete an entry, the database least of all."""

    list_display = (
        "at",
        "action_code",
        "outcome_badge",
        "actor",
        "changed_object",
        "organization",
        "why",
    )
    list_filter = (
        ("outcome", ChoicesDropdownFilter),
        OrganizationFilter,
        ActionFilter,
        ObjectTypeFilter,
        ObjectFilter,
        ActorFilter,
        CreatedFilter,
    )
    search_fields = ("action", "object_label", "actor_label", "request_id")
    search_help_text = "Id, or start of an action, object, actor or request id"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("action_code", "outcome_badge", "moment"),
                    ("actor", "changed_object", "organization"),
                    "why",
                    ("request_code", "token_public_id", "transaction_id"),
                    ("db_role", "application_name", "key"),
                )
            },
        ),
    )

    def relations_of(self, rows: Sequence[AuditLog]) -> list[Any]:
        """Names of what the page speaks of: the trail itself holds only ids."""
        name_all(rows)
        return []

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AuditLog | None:
        entry = super().get_object(request, object_id, from_field)
        if entry is not None:
            name_all([entry])
        return entry

    @display(description="When")
    def at(self, row: AuditLog) -> str:
        return when(row.created_at)

    @display(description="Moment")
    def moment(self, row: AuditLog) -> str:
        return f"{row.created_at:%Y-%m-%d %H:%M:%S.%f} UTC"

    @display(description="Action")
    def action_code(self, row: AuditLog) -> str:
        return code(row.action)

    @display(description="Outcome")
    def outcome_badge(self, row: AuditLog) -> str:
        return outcome(row)

    @display(description="Actor")
    def actor(self, row: Any) -> str:
        kind = row.actor_kind
        if row.actor_row is not None:
            return stack(link_to(row.actor_row), kind)
        if row.actor_id:
            return stack(short_id(row.actor_id), kind)
        return stack(row.actor_label or NOTHING, kind)

    @display(description="Object")
    def changed_object(self, row: AuditLog) -> str:
        if row.object_id is None:
            return muted((row.after or {}).get("path", NOTHING))
        name = row.object_label or short_id(row.object_id)
        address = address_of(row.object_type, row.object_id)
        return stack(link(address, name) if address else name, row.object_type)

    @display(description="Organization")
    def organization(self, row: Any) -> str:
        return link_to(row.organization_row)

    @display(description="Request id")
    def request_code(self, row: AuditLog) -> str:
        return code(row.request_id)

    @display(description="Id")
    def key(self, row: AuditLog) -> str:
        return code(row.pk)

    @display(description="Reason")
    def why(self, row: AuditLog) -> str:
        return row.reason or NOTHING

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponseBase:
        """The history of what the entry is about: an entry itself has none."""
        entry = self.get_object(request, object_id)
        if entry is None or entry.object_id is None:
            return HttpResponseRedirect(list_url("audit_auditlog"))
        return HttpResponseRedirect(history_of(entry))

    def panels(self, request: HttpRequest, row: AuditLog) -> list[Panel]:
        same = AuditLog.objects.filter(
            organization_id=row.organization_id,
            object_type=row.object_type,
            object_id=row.object_id,
        )
        if row.object_id is None:
            return [changes_panel(row)]
        others = [e for e in same.order_by("-id")[:20] if e.pk != row.pk]
        lines = [[when(e.created_at), entry_link(e), outcome(e)] for e in others]
        return [
            changes_panel(row),
            Panel(
                "Other entries of this object",
                ("When", "Action", "Outcome"),
                lines,
                link=history_of(row),
                wide=True,
            ),
        ]


def history_of(entry: AuditLog) -> str:
    return list_url(
        "audit_auditlog",
        organization=entry.organization_id or "none",
        object_type=entry.object_type,
        object_id=entry.object_id,
    )


def name_all(entries: Sequence[Any]) -> None:
    """Put actors and organizations beside the entries: three queries for all."""
    actors = {e.actor_id for e in entries if e.actor_id}
    owners = {e.organization_id for e in entries if e.organization_id}
    users = User.objects.in_bulk(actors)
    users |= ServiceAccount.objects.in_bulk(actors - set(users))
    organizations = Organization.objects.in_bulk(owners)
    for entry in entries:
        entry.actor_row = users.get(entry.actor_id)
        entry.organization_row = organizations.get(entry.organization_id)


def entry_link(entry: AuditLog) -> str:
    return link_to(entry, entry.action)


def outcome(entry: AuditLog) -> str:
    return badge(entry.get_outcome_display(), OUTCOME_TONES[entry.outcome])


@cache
def models_by_table() -> dict[str, str]:
    """Admin's name of the page for each table; labels, so that no app is imported."""
    return {
        model._meta.db_table: f"{model._meta.app_label}_{model._meta.model_name}"
        for model in apps.get_models()
    }


def address_of(table: str, key: UUID | None) -> str:
    model = models_by_table().get(table)
    if not model or key is None:
        return ""
    try:
        return reverse(f"admin:{model}_change", args=[key])
    except NoReverseMatch:
        return ""


def changes_panel(entry: AuditLog) -> Panel:
    """What differs, column by column; of a creation or deletion all that was there."""
    before, after = entry.before or {}, entry.after or {}
    names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
    return Panel(
        "Changes",
        ("Column", "Before", "After"),
        [
            [code(name), was(before, name, "was"), was(after, name, "is")]
            for name in sorted(names)
        ],
        wide=True,
        empty="This entry records an occurrence; no row changed.",
    )


def was(side: dict[str, Any], name: str, css: str) -> str:
    if name not in side:
        return NOTHING
    value = side[name]
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    short = words if len(words) <= LONGEST else words[:LONGEST] + "…"
    return format_html('<span class="mp-diff mp-{}">{}</span>', css, short or '""')


# The page itself would fill its panel with looks at it.
LOOKS = "admin.viewed"
NEWEST = 500


def overview() -> Overview:
    window = AuditLog.objects.order_by("-id").values("pk")[:NEWEST]
    changes = AuditLog.objects.filter(pk__in=window).exclude(action=LOOKS)
    newest = list(changes.order_by("-id")[:8])
    name_all(newest)
    lines = [
        [
            stack(entry_link(e), e.object_label or e.object_type),
            who(e),
            when(e.created_at),
        ]
        for e in newest
    ]
    return Overview(
        panels=[
            Panel(
                "Latest audit entries",
                ("Action", "Actor", "When"),
                lines,
                link=list_url("audit_auditlog"),
                rank=4,
            )
        ]
    )


def object_name(entry: AuditLog) -> str:
    return entry.object_label or entry.object_type or NOTHING


def who(entry: Any) -> str:
    if entry.actor_row is not None:
        return link_to(entry.actor_row)
    return entry.actor_label or entry.actor_kind

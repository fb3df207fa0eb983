"""The audit trail for reading: who did what to which object, and what it was before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from unfold.decorators import display

from audit.admin.changes import changes_panel
from audit.admin.filters import (
    ActionFilter,
    ActorFilter,
    AddressFilter,
    KindFilter,
    LabelFilter,
    ObjectFilter,
    ObjectTypeFilter,
    OutcomeFilter,
    RequestFilter,
)
from audit.admin.history import (
    Question,
    address_of,
    captured_tables,
    history_of,
    name_all,
    outcome,
    subject_of,
    timeline_panel,
    title_of,
    who,
)
from audit.admin.seals import sealed_panel
from audit.models import AuditLog
from tenants.admin import TenantAdmin
from tenants.admin_lists import CreatedFilter, OrganizationFilter, as_uuid
from tenants.admin_panels import (
    NOTHING,
    Panel,
    code,
    link,
    link_to,
    list_url,
    muted,
    short_id,
    stack,
    timeline_url,
    when,
)


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
    # What an index finds stands first: the rest looks at what these leave.
    list_filter = (
        OrganizationFilter,
        CreatedFilter,
        ObjectTypeFilter,
        ObjectFilter,
        ActorFilter,
        ActionFilter,
        OutcomeFilter,
        KindFilter,
        LabelFilter,
        RequestFilter,
        AddressFilter,
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
                    ("request_code", "token_public_id", "address", "route"),
                    ("transaction_id", "db_role", "application_name", "backend_pid"),
                    "key",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: Any = super().get_queryset(request)
        return rows.so_far()

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
        return who(row)

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

    def get_urls(self) -> list[Any]:
        page = self.admin_site.admin_view(self.timeline_view)
        own = path("history/", page, name="audit_auditlog_timeline")
        return [own, *super().get_urls()]

    def timeline_view(self, request: HttpRequest) -> TemplateResponse:
        """The history of one object, be it purged, or of one actor."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        question = Question.of(request)
        problem = question.problem()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "History",
            "question": question,
            "problem": problem,
            "tables": captured_tables(),
            "asks_organization": request.user.is_superuser,
        }
        if question.is_asked and not problem:
            context |= shown_history(request, question)
        return TemplateResponse(request, "admin/timeline.html", context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponseBase:
        """The history of what the entry is about: an entry itself has none."""
        entry = self.get_object(request, object_id)
        if entry is None or entry.object_id is None:
            return HttpResponseRedirect(list_url("audit_auditlog"))
        return HttpResponseRedirect(history_url(entry))

    def panels(self, request: HttpRequest, row: AuditLog) -> list[Panel]:
        if row.object_id is None:
            return [changes_panel(row), sealed_panel(row)]
        same = AuditLog.objects.filter(organization_id=row.organization_id)
        same = same.of_object(row.object_type, row.object_id)
        others = [e for e in same.order_by("-id")[:20] if e.pk != row.pk]
        lines = [[when(e.created_at), entry_link(e), outcome(e)] for e in others]
        return [
            changes_panel(row),
            Panel(
                "Other entries of this object",
                ("When", "Action", "Outcome"),
                lines,
                link=history_url(row),
                wide=True,
            ),
            sealed_panel(row),
        ]


def shown_history(request: HttpRequest, question: Question) -> dict[str, Any]:
    """Look it up, and note for the trail whose history staff looks at."""
    history = history_of(question)
    subject = subject_of(question, history.entries)
    request.viewed_row = subject  # type: ignore[attr-defined]
    key = as_uuid(question.object_id)
    return {
        "title": title_of(question, history.entries),
        "panels": [timeline_panel(history, of_actor=bool(question.actor_id))],
        "older": history.older,
        "page_of_row": address_of(question.object_type, key),
    }


def history_url(entry: AuditLog) -> str:
    return timeline_url(
        organization=entry.organization_id or "none",
        object_type=entry.object_type,
        object_id=entry.object_id,
    )


def entry_link(entry: AuditLog) -> str:
    return link_to(entry, entry.action)

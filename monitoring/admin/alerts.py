from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from monitoring.admin.parts import (
    OPEN,
    Watching,
    alert_line,
    severity_badge,
    status_badge,
)
from monitoring.models import Alert, AlertRule
from monitoring.services import alerts, rules
from tenants.admin import Restorable, TenantAdmin
from tenants.admin_lists import (
    CreatedFilter,
    DeletedFilter,
)
from tenants.admin_panels import (
    NOTHING,
    Panel,
    code,
    lasting,
    link,
    list_url,
    number,
    span,
    stack,
    when,
)
from tenants.models import Project


@admin.register(Alert)
class AlertAdmin(Watching, TenantAdmin):
    list_display = (
        "title",
        "severity_badge",
        "status_badge",
        "serving",
        "where",
        "observed",
        "triggered",
        "lasted",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("severity", ChoicesDropdownFilter),
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("rule", AutocompleteSelectFilter),
        ("deployment", AutocompleteSelectFilter),
        CreatedFilter,
    )
    list_select_related = ("organization", "project", "rule", "deployment")
    search_fields = ("summary", "fingerprint")
    search_help_text = "Id, or start of the summary or fingerprint"
    actions = ("acknowledge", "resolve")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "summary",
                    ("severity_badge", "status_badge", "observed"),
                    ("rule", "deployment"),
                    ("project", "of_organization"),
                    ("triggered", "lasted", "updated"),
                    ("fingerprint", "key"),
                )
            },
        ),
        ("Labels", {"fields": ("labels",), "classes": ("collapse",)}),
    )

    @display(description="Acknowledge")
    def acknowledge(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(
            request,
            queryset,
            alerts.acknowledge_alert,
            doing="Acknowledge",
            done="acknowledged",
            consequence="You look after it; it stays open until it is resolved.",
        )

    @display(description="Resolve")
    def resolve(self, request: HttpRequest, queryset: QuerySet) -> Any:
        resolution = request.POST.get("reason", "").strip()[:500]

        def close(alert: Alert) -> Alert:
            return alerts.resolve_alert(alert, resolution=resolution)

        return self.act(
            request,
            queryset,
            close,
            doing="Resolve",
            done="resolved",
            consequence="A breach that holds on opens a new alert.",
        )

    @display(description="Alert", header=True)
    def title(self, row: Alert) -> list[str]:
        return [str(row), row.rule.name]

    @display(description="Severity")
    def severity_badge(self, row: Alert) -> str:
        return severity_badge(row)

    @display(description="Status")
    def status_badge(self, row: Alert) -> str:
        return status_badge(row)

    @display(description="Value")
    def observed(self, row: Alert) -> str:
        return number(row.value)

    @display(description="Triggered")
    def triggered(self, row: Alert) -> str:
        return when(row.triggered_at)

    @display(description="Open for")
    def lasted(self, row: Alert) -> str:
        end = row.resolved_at or timezone.now()
        return lasting(max((end - row.triggered_at).total_seconds(), 0))

    def panels(self, request: HttpRequest, row: Alert) -> list[Panel]:
        before = Alert.objects.filter(
            organization_id=row.organization_id, rule_id=row.rule_id
        ).exclude(pk=row.pk)
        return [
            Panel("Course", ("Step", "When", "By or why"), course(row)),
            Panel(
                "Other alerts of this rule",
                ("Alert", "Severity", "Status", "Triggered"),
                [alert_line(alert) for alert in before.order_by("-id")[:10]],
                link=list_url("monitoring_alert", rule__id__exact=row.rule_id),
            ),
        ]


def course(alert: Alert) -> list[list[Any]]:
    steps: Iterable[tuple[str, datetime | None, Any]] = (
        ("Triggered", alert.triggered_at, NOTHING),
        (
            "Acknowledged",
            alert.acknowledged_at,
            code(alert.acknowledged_by) if alert.acknowledged_by else NOTHING,
        ),
        ("Resolved", alert.resolved_at, alert.resolution or NOTHING),
    )
    return [[step, when(moment), why] for step, moment, why in steps if moment]


RULE_FIELDS = (
    "name",
    "kind",
    "metric_name",
    "operator",
    "threshold",
    "for_seconds",
    "severity",
    "is_enabled",
    "deployment",
    "labels",
)


@admin.register(AlertRule)
class AlertRuleAdmin(Restorable, Watching, TenantAdmin):
    list_display = (
        "title",
        "condition",
        "severity_badge",
        "enabled",
        "open_alerts",
        "serving",
        "where",
        "state",
    )
    list_filter = (
        ("severity", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("is_enabled", BooleanRadioFilter),
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("deployment", AutocompleteSelectFilter),
        DeletedFilter,
    )
    list_select_related = ("organization", "project", "deployment")
    search_fields = ("name", "metric_name")
    search_help_text = "Id, or start of the name or metric"
    autocomplete_fields = ("project", "deployment")
    editable = RULE_FIELDS
    add_form = ModelForm
    add_fieldsets = (
        (
            None,
            {
                "fields": (
                    ("project", "deployment"),
                    ("name", "kind"),
                    ("metric_name", "operator", "threshold"),
                    ("for_seconds", "severity", "is_enabled"),
                )
            },
        ),
    )
    delete_service = staticmethod(rules.delete_rule)
    restore_service = staticmethod(rules.restore_rule)
    consequence = "What it has open is resolved."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "kind"),
                    ("metric_name", "operator", "threshold"),
                    ("for_seconds", "severity", "is_enabled"),
                    ("project", "deployment"),
                    ("state", "created", "updated"),
                    "key",
                )
            },
        ),
        ("Labels", {"fields": ("labels",), "classes": ("collapse",)}),
    )

    def create_row(self, *, project: Project, **values: Any) -> AlertRule:
        return rules.create_rule(project, **values)

    def change_row(self, row: AlertRule, **changes: Any) -> AlertRule:
        return rules.update_rule(row, **changes)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        opened = Alert.objects.filter(
            OPEN, organization_id=OuterRef("organization_id"), rule_id=OuterRef("pk")
        )
        grouped = opened.order_by().values("rule_id").annotate(count=Count("pk"))
        count = Subquery(grouped.values("count"))
        return super().get_queryset(request).annotate(open_count=count)

    @display(description="Rule", header=True)
    def title(self, row: AlertRule) -> list[str]:
        return [row.name, row.get_kind_display()]

    @display(description="Condition")
    def condition(self, row: AlertRule) -> str:
        what = row.metric_name or row.get_kind_display()
        known = row.threshold is not None
        limit = f" {row.operator} {row.threshold:g}" if known else ""
        held = f"for {span(row.for_seconds)}" if row.for_seconds else "at once"
        return stack(code(f"{what}{limit}"), held)

    @display(description="Severity")
    def severity_badge(self, row: AlertRule) -> str:
        return severity_badge(row)

    @display(description="Enabled", boolean=True)
    def enabled(self, row: AlertRule) -> bool:
        return row.is_enabled

    @display(description="Open alerts")
    def open_alerts(self, row: Any) -> str:
        address = list_url("monitoring_alert", rule__id__exact=row.pk)
        return link(address, row.open_count or 0)

    def panels(self, request: HttpRequest, row: AlertRule) -> list[Panel]:
        fired = Alert.objects.filter(
            organization_id=row.organization_id, rule_id=row.pk
        )
        return [
            Panel(
                "Newest alerts",
                ("Alert", "Severity", "Status", "Triggered"),
                [alert_line(alert) for alert in fired.order_by("-id")[:20]],
                link=list_url("monitoring_alert", rule__id__exact=row.pk),
                wide=True,
            )
        ]

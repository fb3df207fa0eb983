from __future__ import annotations

import django_filters
from django_filters.rest_framework import FilterSet

from monitoring.models import Alert, AlertRule, DriftReport
from tenants.api.filters import FlagFilter, LiveFilterSet


class DriftReportFilterSet(FilterSet):
    """`since` and `until` ask for the reports whose window meets that one."""

    deployment = django_filters.UUIDFilter(field_name="deployment_id")
    drifted = FlagFilter()
    since = django_filters.IsoDateTimeFilter(field_name="period_end", lookup_expr="gt")
    until = django_filters.IsoDateTimeFilter(
        field_name="period_start", lookup_expr="lt"
    )

    class Meta:
        model = DriftReport
        fields = ["status", "segment"]


class AlertRuleFilterSet(LiveFilterSet):
    deployment = django_filters.UUIDFilter(field_name="deployment_id")
    is_enabled = FlagFilter()

    class Meta:
        model = AlertRule
        fields = ["name", "kind", "severity", "metric_name"]


class AlertFilterSet(FilterSet):
    rule = django_filters.UUIDFilter(field_name="rule_id")
    deployment = django_filters.UUIDFilter(field_name="deployment_id")
    open = FlagFilter(
        field_name="resolved_at",
        lookup_expr="isnull",
        label="true: active and acknowledged ones",
    )
    since = django_filters.IsoDateTimeFilter(
        field_name="triggered_at", lookup_expr="gte"
    )
    until = django_filters.IsoDateTimeFilter(
        field_name="triggered_at", lookup_expr="lt"
    )

    class Meta:
        model = Alert
        fields = ["status", "severity"]

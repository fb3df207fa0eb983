from __future__ import annotations

from datetime import timedelta

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
)
from unfold.decorators import display

from mlops.db.uuid7 import floor
from monitoring.admin.parts import deployed
from monitoring.models import MonitoringPoint
from tenants.admin import TenantAdmin
from tenants.admin_lists import (
    CreatedFilter,
    ExactTextFilter,
    OrganizationFilter,
)
from tenants.admin_panels import (
    number,
    when,
)


class MetricNameFilter(ExactTextFilter):
    title = "metric (whole name)"
    parameter_name = column = "metric_name"


class RecentPointsFilter(CreatedFilter):
    """Points of the last days unless another age is chosen: few partitions."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() in self.HOURS:
            return super().queryset(request, queryset)
        return queryset.filter(pk__gte=floor(timezone.now() - timedelta(days=30)))


@admin.register(MonitoringPoint)
class MonitoringPointAdmin(TenantAdmin):
    """Facts: shown, never changed."""

    list_display = ("metric_name", "observed", "serving", "segment", "recorded")
    list_filter = (
        ("deployment", AutocompleteSelectFilter),
        MetricNameFilter,
        OrganizationFilter,
        RecentPointsFilter,
    )
    list_select_related = ("deployment",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("metric_name", "observed"),
                    ("deployment", "segment"),
                    ("recorded_at", "ingested_at"),
                    "id",
                )
            },
        ),
    )

    @display(description="Value")
    def observed(self, row: MonitoringPoint) -> str:
        return number(row.value)

    @display(description="Deployment")
    def serving(self, row: MonitoringPoint) -> str:
        return deployed(row.deployment)

    @display(description="Recorded")
    def recorded(self, row: MonitoringPoint) -> str:
        return when(row.recorded_at)

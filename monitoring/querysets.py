"""Reads of monitoring: points by time, reports by window, alerts by state."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

from mlops.db.uuid7 import floor
from tenants.querysets import LiveManager, TenantManager, TenantQuerySet

if TYPE_CHECKING:
    from tenants.context import Actor


class PointQuerySet(TenantQuerySet):
    def in_projects_of(self, actor: Actor) -> Self:
        return self

    def between(self, start: datetime, end: datetime) -> Self:
        """Points of [start, end); the bounds on id let PostgreSQL skip months."""
        return self.filter(
            recorded_at__gte=start,
            recorded_at__lt=end,
            id__gte=floor(start),
            id__lt=floor(end),
        )


class DriftReportQuerySet(TenantQuerySet):
    pass


class AlertRuleQuerySet(TenantQuerySet):
    pass


class AlertQuerySet(TenantQuerySet):
    def open(self) -> Self:
        return self.filter(status__in=("active", "acknowledged"))


PointManager = TenantManager.from_queryset(PointQuerySet)
DriftReportManager = TenantManager.from_queryset(DriftReportQuerySet)
AlertRuleManager = LiveManager.from_queryset(AlertRuleQuerySet)
AlertManager = TenantManager.from_queryset(AlertQuerySet)

from __future__ import annotations

from datetime import datetime

import django_filters
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet

from audit.models import AuditLog
from mlops.db.uuid7 import floor


class AuditLogFilterSet(FilterSet):
    """Times bound the id as well, so that PostgreSQL skips whole months."""

    since = django_filters.IsoDateTimeFilter(method="from_moment")
    until = django_filters.IsoDateTimeFilter(method="to_moment")
    actor = django_filters.UUIDFilter(field_name="actor_id")
    project = django_filters.UUIDFilter(field_name="project_id")

    class Meta:
        model = AuditLog
        fields = ["action", "outcome", "object_type", "object_id", "request_id"]

    def from_moment(self, rows: QuerySet, name: str, moment: datetime) -> QuerySet:
        return rows.filter(created_at__gte=moment, id__gte=floor(moment))

    def to_moment(self, rows: QuerySet, name: str, moment: datetime) -> QuerySet:
        return rows.filter(created_at__lt=moment, id__lt=floor(moment))

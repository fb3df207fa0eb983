"""Lists of the admin that stay fast however many rows there are.

No list counts a large table, sorts by an unindexed column, offers a filter that reads
all rows, or searches beyond the newest rows that its filters leave.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.admin import ModelAdmin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, prefetch_related_objects
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter, TextFilter
from unfold.views import ChangeList

from mlops.db.uuid7 import floor
from tenants.models import Organization

# Deeper pages by number cost a walk over all rows before; filters are the way there.
DEEPEST = 10_000
# In the planner's units; about what reading 10,000 rows by an index costs.
AFFORDABLE = 50_000
# A text is looked for among this many of the newest rows.
SEARCHED = 10_000


class BoundedPaginator(Paginator):
    """Counts up to 10,000 rows, and beyond them takes the planner's estimate."""

    template_name = "admin/pagination_bounded.html"

    @cached_property
    def count(self) -> int:
        rows, cost = self._planned
        if rows > DEEPEST or cost > AFFORDABLE:
            return max(rows, 1)
        return self._rows[: DEEPEST + 1].count()

    @cached_property
    def num_pages(self) -> int:
        return -(-min(max(self.count, 1), DEEPEST) // self.per_page)

    @property
    def total(self) -> str:
        if self.count <= DEEPEST:
            return f"{self.count:,}"
        rounded = float(f"{self.count:.2g}")
        return f"about {rounded:,.0f}"

    @property
    def is_cut(self) -> bool:
        return self.count > DEEPEST

    @cached_property
    def _rows(self) -> QuerySet:
        # Without their order and joins; the planner then counts by the narrowest index.
        listed: Any = self.object_list
        return listed.order_by().select_related(None).prefetch_related(None)

    @cached_property
    def _planned(self) -> tuple[int, float]:
        """Rows and cost as the planner sees them; costs no look at the rows."""
        plan = self._rows.explain(format="json")
        if not plan:  # Django sees by itself that nothing can match.
            return 0, 0.0
        top = json.loads(plan)[0]["Plan"]
        return top["Plan Rows"], top["Total Cost"]


class TenantChangeList(ChangeList):
    """A page of rows, completed by as many queries as the admin has relations."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # Equal, so the heading says no number: the paginator does, below the list.
        self.full_result_count = self.result_count
        rows: list[Any] = list(self.result_list)  # type: ignore[has-type]
        self.result_list = rows
        if rows:
            prefetch_related_objects(rows, *self.model_admin.relations_of(rows))


def with_words(
    rows: QuerySet, words: str, columns: Iterable[str], *, newest: int | None = SEARCHED
) -> QuerySet:
    """Filter by an id, else by the start of a text among the `newest` rows.

    Columns that end in `__exact` hold numbers, which must match whole.
    """
    if key := as_uuid(words):
        return rows.filter(pk=key)
    found = Q(pk__in=[])
    for column in columns:
        if not column.endswith("__exact"):
            found |= Q(**{f"{column}__istartswith": words})
        elif words.isdecimal() and len(words) < 19:
            found |= Q(**{column: int(words)})
    if newest is None:
        return rows.filter(found)
    window = rows.order_by("-pk").values("pk")[:newest]
    return rows.filter(found, pk__in=window)


def as_uuid(words: str) -> UUID | None:
    try:
        return UUID(words)
    except ValueError:
        return None


class CreatedFilter(DropdownFilter):
    """By age, read off the time that every id begins with."""

    title = "age"
    parameter_name = "age"
    HOURS = {
        "1": "Last hour",
        "24": "Last day",
        "168": "Last week",
        "720": "Last 30 days",
    }

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin
    ) -> list[tuple[str, str]]:
        return list(self.HOURS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() not in self.HOURS:
            return queryset
        start = timezone.now() - timedelta(hours=int(self.value()))
        return queryset.filter(pk__gte=floor(start))


class DeletedFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin
    ) -> list[tuple[str, str]]:
        return [("live", "Live"), ("deleted", "Deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() not in {"live", "deleted"}:
            return queryset
        return queryset.filter(deleted_at__isnull=self.value() == "live")


class OrganizationFilter(TextFilter):
    """For facts and entries, which hold the organization's id and no relation.

    Takes a slug, an id, or "none" for what belongs to no organization.
    """

    title = "organization (slug)"
    parameter_name = "organization"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        words = self.value()
        if not words:
            return queryset
        if words == "none":
            return queryset.filter(organization_id__isnull=True)
        key = as_uuid(words)
        named = (
            Organization.objects.with_deleted()
            .filter(slug=words)
            .values_list("pk", flat=True)
        )
        return queryset.filter(organization_id__in=[key] if key else list(named))


class ExactTextFilter(TextFilter):
    """By a whole value that an index begins with; subclasses name the column."""

    column = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        return queryset.filter(**{self.column: self.value()})

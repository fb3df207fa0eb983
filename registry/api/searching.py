"""`?filter=` and `?order_by=`: the search language, the same as MLflow's clients speak.

The filter narrows a list like any other parameter; an order replaces newest first, and
its pages are as deep as the list without a look at the rows before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from rest_framework.request import Request

from mlops.api.pagination import (
    KeysetPagination,
    open_cursor,
    read_limit,
    scope_of,
)
from registry.models import Experiment
from registry.search.clauses import split_clauses
from registry.search.fields import RUNS, Table
from registry.search.searches import Search

FILTER = "In MLflow's search language, such as {example}; see the page on search."
ORDER = (
    "Fields, each with ASC or DESC behind it, by commas, such as {example}. Rows "
    "without a value come last. Left out: newest first."
)


class SearchFilter(django_filters.CharFilter):
    """Rows that meet a filter. What is wrong with one is said with its position."""

    def __init__(self, table: Table, example: str) -> None:
        self.table = table
        # Positions count from the first character, whatever it is.
        super().__init__(label=FILTER.format(example=example), strip=False)

    def filter(self, qs: QuerySet, value: str | None) -> QuerySet:
        if not value:
            return qs
        search = Search.of(self.table, value, shows_hidden=True)
        return search.restrict(qs, within=self._within())

    def _within(self) -> QuerySet | None:
        """Values of runs are found by the experiments that they belong to."""
        if self.table is not RUNS:
            return None
        asked = self.parent.form.cleaned_data
        actor = self.parent.request.user
        experiments = Experiment.objects.with_deleted().in_project(actor.project_id)
        if asked.get("experiment"):
            experiments = experiments.filter(pk=asked["experiment"])
        return experiments.values("pk")


class SearchPagination(KeysetPagination):
    """Newest first, unless `order_by` says otherwise."""

    order_param = "order_by"
    table: ClassVar[Table]
    example: ClassVar[str]
    end: Sequence[Any] = ()

    @classmethod
    def of(cls, table: Table, example: str) -> type[SearchPagination]:
        return type(cls.__name__, (cls,), {"table": table, "example": example})

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any]:
        text = request.query_params.get(self.order_param)
        if text is None:
            return super().paginate_queryset(queryset, request, view)
        self.request = request
        search = Search.of(self.table, "", split_clauses(text), shows_hidden=True)
        cursor = request.query_params.get(self.cursor_param)
        place = json.loads(open_cursor(cursor, scope_of(request))) if cursor else []
        limit = read_limit(request.query_params.get(self.limit_param))
        found = search.page(queryset, limit=limit, after=place)
        self.page, self.has_next, self.end = found.rows, bool(found.end), found.end
        return self.page

    def last_values(self) -> list[Any]:
        return list(self.end) or super().last_values()

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        order = {
            "name": self.order_param,
            "in": "query",
            "description": ORDER.format(example=self.example),
            "schema": {"type": "string"},
        }
        return [*super().get_schema_operation_parameters(view), order]

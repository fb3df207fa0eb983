"""The one door to the search: a filter and an order, and what they do to a query set.

search = Search.of(RUNS, "metrics.loss < 0.1", ["metrics.loss"])
page = search.page(Run.objects.in_project(project.pk), limit=100)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from django.db.models import QuerySet

from registry.search import keyset
from registry.search.clauses import OrderKey, complete, parse_order
from registry.search.compiler import Datasets, Within, restrict
from registry.search.fields import Table
from registry.search.grammar import Comparison, parse_filter
from registry.search.hidden import hide


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the place where they end if more follow."""

    rows: list[Any]
    end: list[Any]


def way(key: OrderKey) -> tuple[object, bool]:
    """What a key orders by, however it was written."""
    return key.identity, key.descends


@dataclass(frozen=True)
class Search:
    """What is searched for, and in which order it comes; reads nothing by itself."""

    table: Table
    comparisons: tuple[Comparison, ...]
    order: tuple[OrderKey, ...]
    # Data that the metrics of a filter must be about.
    datasets: Datasets = ()
    shows_hidden: bool = False

    @classmethod
    def of(
        cls,
        table: Table,
        text: str = "",
        order_by: Sequence[str | OrderKey] = (),
        **more: Any,
    ) -> Self:
        """Raises InvalidInput that says what is wrong, and at which character."""
        # Of two that are wrong, the filter is what MLflow tells of.
        comparisons = parse_filter(text, table)
        return cls(table, comparisons, parse_order(order_by, table), **more)

    @cached_property
    def is_plain(self) -> bool:
        """Whether it asks for all rows in the entity's own order."""
        own = complete([], self.table, [])
        return not self.comparisons and [*map(way, self.order)] == [*map(way, own)]

    @cached_property
    def _columns(self) -> tuple[keyset.Column, ...]:
        return keyset.columns_of(self.order)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the values that make up a place, in a query set of `apply`."""
        return tuple(column.alias for column in self._columns)

    def restrict(self, rows: QuerySet, *, within: Within = None) -> QuerySet:
        """Keep the rows that meet the filter; their order is the caller's."""
        comparisons: Sequence[Comparison] = self.comparisons
        if self.table.hidden_by and not self.shows_hidden:
            rows, comparisons = hide(rows, comparisons, self.table)
        return restrict(rows, comparisons, within=within, datasets=self.datasets)

    def apply(
        self, rows: QuerySet, *, within: Within = None, after: Sequence[Any] = ()
    ) -> QuerySet:
        """Keep what meets the filter and lies behind the place, and put it in order."""
        columns = self._columns
        rows = self.restrict(rows, within=within)
        rows = keyset.with_columns(rows, columns, within=within, datasets=self.datasets)
        if after:
            place = keyset.read_place(columns, after)
            rows = rows.filter(keyset.beyond(columns, place))
        return rows.order_by(*[each for column in columns for each in column.ordered()])

    def page(
        self,
        rows: QuerySet,
        *,
        limit: int,
        after: Sequence[Any] = (),
        within: Within = None,
    ) -> Page:
        """Read one page. However deep it is, no row before it is read."""
        # One row more than asked for tells whether there is a next page.
        found = list(self.apply(rows, within=within, after=after)[: limit + 1])
        page = found[:limit]
        if len(found) <= limit:
            return Page(page, [])
        values = [getattr(page[-1], column) for column in self.columns]
        return Page(page, self.place_of(values))

    def place_of(self, values: Sequence[Any]) -> list[Any]:
        """Write the values of `columns` of a page's last row as JSON holds them."""
        return keyset.place_of(self._columns, values)

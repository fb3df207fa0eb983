"""The order by one metric in bands: numbers, then NaN, then the rows without one.

Each band comes in the order of an index, so a page reads about as many rows as it has,
where sorting would read all; a band is read only where those before it end too early.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import F, FloatField, Q, QuerySet, Value
from django.db.models.functions import Cast

from registry.search import keyset
from registry.search.compiler import children
from registry.search.conditions import NAN
from registry.search.fields import Child, Kind
from registry.search.keyset import Column
from registry.search.searches import Search


def has_bands(search: Search, within: Sequence[UUID]) -> bool:
    """Only in one experiment: the values of several are not in the order of an index.

    A filter leaves few rows, and these are sorted sooner than looked for in order.
    """
    field = search.order[0].field
    is_metric = isinstance(field, Child) and field.kind is Kind.NUMBER
    return is_metric and not search.comparisons and len(within) == 1


def bands_of(
    search: Search, rows: QuerySet, *, within: Sequence[UUID], after: Sequence[Any]
) -> list[QuerySet]:
    """Return the bands that lie behind the place, in their order."""
    columns = keyset.columns_of(search.order)
    place = keyset.read_place(columns, after) if after else []
    numbers = search.apply(rows, within=within, after=after)
    bands = [
        _in_order(numbers.filter(_numbers(columns[0], place)), columns),
        _in_order(numbers.filter(**{columns[0].alias: NAN}), columns),
        _without(rows, columns, within, place),
    ]
    return bands[_band_of(place) :]


def _numbers(column: Column, place: Sequence[Any]) -> Q:
    """Say where to enter the index, beside the condition that is exact."""
    numbers = Q((f"{column.alias}__lt", NAN))
    if not place or _band_of(place) > 0:
        return numbers
    lookup = "lte" if column.key.descends else "gte"
    return numbers & Q((f"{column.alias}__{lookup}", place[0]))


def _in_order(rows: QuerySet, columns: Sequence[Column]) -> QuerySet:
    """Order by the value as the index has it: inside a band there is no rank."""
    first, *rest = columns
    value = F(first.alias)
    order = [value.desc() if first.key.descends else value.asc()]
    return rows.order_by(
        *order, *[each for column in rest for each in column.ordered()]
    )


def _without(
    rows: QuerySet,
    columns: Sequence[Column],
    within: Sequence[UUID],
    place: Sequence[Any],
) -> QuerySet:
    first, *rest = columns
    child = first.key.field
    assert isinstance(child, Child)
    # NOT IN: the database makes one set of them. It would rather ask run by run, as it
    # never knows that most runs have the key; its runs are no more than memory holds.
    found = children(rows, child, first.key.name.key, within)
    rows = rows.exclude(pk__in=found.values(f"{child.parent}_id"))
    rows = rows.annotate(**{first.alias: Cast(Value(None), FloatField())})
    rows = keyset.with_columns(rows, rest, within=within)
    if _band_of(place) == 2:
        rows = rows.filter(keyset.beyond(rest, place[1:]))
    return rows.order_by(*[each for column in rest for each in column.ordered()])


def _band_of(place: Sequence[Any]) -> int:
    if not place:
        return 0
    if place[0] is None:
        return 2
    return 1 if math.isnan(place[0]) else 0

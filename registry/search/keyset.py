"""The order of rows, and pages that begin behind a place in it.

MLflow's order: what has no value comes last, whichever way the order goes, and so does
NaN, before that. A place is the values of a row in the fields of the order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import (
    Case,
    F,
    FilteredRelation,
    IntegerField,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.expressions import Combinable, OrderBy

from registry.refusals import invalid_page_token
from registry.search.clauses import OrderKey
from registry.search.compiler import Datasets, Within, about, newest
from registry.search.conditions import NAN, NEVER
from registry.search.expressions import hex_text
from registry.search.fields import Child, Field, Kind

JOINED = "joined_{}"
# So many experiments are worth naming to each join.
FEW = 100


@dataclass(frozen=True, slots=True)
class Column:
    """One field of an order, as the query set knows it."""

    alias: str
    key: OrderKey

    @property
    def kind(self) -> Kind:
        return self.key.field.kind

    @property
    def is_nullable(self) -> bool:
        field = self.key.field
        return isinstance(field, Child) or field.is_nullable

    def ordered(self) -> list[Any]:
        field = F(self.alias)
        if not self.is_nullable:
            return [field.desc() if self.key.descends else field.asc()]
        if not self.key.descends:
            return [field.asc(nulls_last=True)]
        # Downwards NaN would come first.
        rank = [self._rank()] if self.kind is Kind.NUMBER else []
        return [*rank, field.desc(nulls_last=True)]

    def _rank(self) -> OrderBy:
        nothing = When(**{f"{self.alias}__isnull": True}, then=Value(2))
        no_number = When(**{self.alias: NAN}, then=Value(1))
        ranks = Case(nothing, no_number, default=Value(0), output_field=IntegerField())
        return ranks.asc()

    def at(self, value: Any) -> Q:
        return (
            Q((f"{self.alias}__isnull", True))
            if value is None
            else Q((self.alias, value))
        )

    def beyond(self, value: Any) -> Q:
        """Rows whose own value comes later than this one."""
        if value is None:
            return NEVER
        missing = Q((f"{self.alias}__isnull", True)) if self.is_nullable else NEVER
        if isinstance(value, float) and math.isnan(value):
            return missing
        lookup = "lt" if self.key.descends else "gt"
        later = Q((f"{self.alias}__{lookup}", value))
        if self.kind is Kind.NUMBER and self.key.descends:
            later |= Q((self.alias, NAN))
        return later | missing if self.is_nullable else later

    def from_on(self, value: Any) -> Q:
        """Stand alone before the alternatives, so that an index is entered there."""
        if self.is_nullable:
            return Q()
        return Q((f"{self.alias}__{'lte' if self.key.descends else 'gte'}", value))


def columns_of(order: Sequence[OrderKey]) -> tuple[Column, ...]:
    return tuple(Column(f"order_{n}", key) for n, key in enumerate(order))


def with_columns(
    rows: QuerySet,
    columns: Sequence[Column],
    *,
    within: Within = None,
    datasets: Datasets = (),
) -> QuerySet:
    """Add the values that the order asks for, one column each."""
    for column in columns:
        field = column.key.field
        if isinstance(field, Field):
            rows = rows.annotate(**{column.alias: _expression(field)})
        elif field.newest_first:
            rows = rows.annotate(**{column.alias: _newest(rows, column.key, datasets)})
        else:
            rows = _with_joined(rows, column, within)
    return rows


def _expression(field: Field) -> Combinable:
    if not isinstance(field.path, str):
        return field.path
    if field.kind is Kind.KEY and field.path != "pk":
        return hex_text(field.path, field.prefix)
    return F(field.path)


def _newest(rows: QuerySet, key: OrderKey, datasets: Datasets) -> Subquery:
    child = key.field
    assert isinstance(child, Child)
    condition = about(datasets) & about([key.dataset])
    return newest(rows, child, key.name.key, condition)


def _with_joined(rows: QuerySet, column: Column, within: Within) -> QuerySet:
    """Join the one row of the child that has the key, where there is one.

    Not by the experiment of the run: an index that begins with it would be entered for
    each run, and mostly holds more of one experiment than the planner expects.
    """
    child, alias = column.key.field, JOINED.format(column.alias)
    assert isinstance(child, Child)
    wanted = {
        child.key: column.key.name.key,
        "organization_id": F("organization_id"),
    }
    condition = Q(**{f"{child.relation}__{name}": of for name, of in wanted.items()})
    if (
        child.is_narrow
        and not isinstance(within, QuerySet | None)
        and len(within) <= FEW
    ):
        condition &= Q((f"{child.relation}__experiment_id__in", list(within)))
    joined = FilteredRelation(child.relation, condition=condition)
    rows = rows.annotate(**{alias: joined})
    return rows.annotate(**{column.alias: F(f"{alias}__value")})


def beyond(columns: Sequence[Column], place: Sequence[Any]) -> Q:
    """Rows behind the place. The last column tells all rows apart."""
    column, value = columns[0], place[0]
    later = column.beyond(value)
    if len(columns) == 1:
        return later
    return column.from_on(value) & (
        later | column.at(value) & beyond(columns[1:], place[1:])
    )


# Places


def place_of(columns: Sequence[Column], values: Sequence[Any]) -> list[Any]:
    """Write the values so that JSON holds them."""
    return [_plain(value) for value in values[: len(columns)]]


def _plain(value: Any) -> Any:
    match value:
        case UUID():
            return value.hex
        case datetime():
            return value.isoformat()
        case float():
            return repr(value)
    return value


READERS = {
    Kind.TEXT: str,
    Kind.NUMBER: float,
    Kind.INTEGER: int,
    Kind.LABEL: int,
    Kind.MOMENT: datetime.fromisoformat,
}


def read_place(columns: Sequence[Column], place: Sequence[Any]) -> list[Any]:
    """Raises InvalidInput for what is no place of this order."""
    try:
        return [
            None if value is None else _reader(column)(value)
            for column, value in zip(columns, place, strict=True)
        ]
    except (TypeError, ValueError):
        raise invalid_page_token() from None


def _reader(column: Column) -> Any:
    field = column.key.field
    if column.kind is Kind.KEY and isinstance(field, Field):
        return UUID if field.path == "pk" else str
    return READERS[column.kind]

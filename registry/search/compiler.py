"""From comparisons to conditions on query sets.

A condition on a child is `pk IN (rows of the child)`: found by its own index, inside
the experiments that are searched, and joined to the entity. `!=` is no exception: what
has no such key does not differ from the value, it has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, Q, QuerySet, Subquery

from registry.search.conditions import (
    key_condition,
    label_condition,
    number_condition,
    text_condition,
    whole_condition,
)
from registry.search.expressions import AnyOf
from registry.search.fields import CONTEXT, NULLS, Child, Field, InputField, Kind
from registry.search.grammar import Comparison, Literal

# The experiments that are searched; None is all of them.
Within: TypeAlias = Sequence[UUID] | QuerySet | None
# Name and digest of data that metrics are about; an empty digest is any.
Datasets: TypeAlias = Sequence[tuple[str, str]]
COMPUTED = "computed_{}"


def restrict(
    rows: QuerySet,
    comparisons: Sequence[Comparison],
    *,
    within: Within = None,
    datasets: Datasets = (),
) -> QuerySet:
    """Keep the rows that meet all of them."""
    for index, comparison in enumerate(comparisons):
        field = comparison.name.field
        if isinstance(field, Field):
            rows = _by_field(rows, field, comparison, COMPUTED.format(index))
        elif isinstance(field, Child) and field.newest_first:
            alias = COMPUTED.format(index)
            rows = _by_newest(rows, field, comparison, alias, datasets)
        elif isinstance(field, Child):
            rows = rows.filter(_by_child(rows, field, comparison, within))
        else:
            rows = rows.filter(_by_input(rows, field, comparison, within))
    if datasets and not any(each.name.noun == "metric" for each in comparisons):
        points = model_of(rows, "metrics")._default_manager.filter(about(datasets))
        rows = rows.filter(pk__in=points.values("logged_model_id"))
    return rows


def _by_field(
    rows: QuerySet, field: Field, comparison: Comparison, alias: str
) -> QuerySet:
    if not isinstance(field.path, str):
        rows = rows.alias(**{alias: field.path})
    path = field.path if isinstance(field.path, str) else alias
    return rows.filter(_condition(field, path, comparison))


def _condition(field: Field, path: str, comparison: Comparison) -> Q:
    operator, value = comparison.operator, comparison.value
    match field.kind:
        case Kind.KEY:
            return key_condition(field, operator, value)
        case Kind.LABEL:
            return label_condition(path, operator, value)
        case Kind.INTEGER | Kind.MOMENT:
            return whole_condition(path, field.kind, operator, number(value))
    return text_condition(path, operator, value)


def _by_newest(
    rows: QuerySet,
    child: Child,
    comparison: Comparison,
    alias: str,
    datasets: Datasets,
) -> QuerySet:
    """Where there are many rows of one key, compare the newest one's value."""
    key = comparison.name.key
    rows = rows.alias(**{alias: newest(rows, child, key, about(datasets))})
    value = number(comparison.value)
    condition = number_condition(alias, comparison.operator, value)
    return rows.filter(condition, **{f"{alias}__isnull": False})


def newest(rows: QuerySet, child: Child, key: str, condition: Q) -> Subquery:
    """The value of the newest row of each, of those that meet the condition."""
    found = children(rows, child, key, None)
    found = found.filter(condition, **{child.parent: OuterRef("pk")})
    return Subquery(found.order_by(*child.newest_first).values("value")[:1])


def _by_child(
    rows: QuerySet, child: Child, comparison: Comparison, within: Within
) -> Q:
    key = child.fixed_key or comparison.name.key
    found = children(rows, child, key, within)
    if comparison.operator in NULLS:
        has_key = _has_any(found, child, within)
        return has_key if comparison.operator == "IS NOT NULL" else ~has_key
    found = found.filter(_of_value(child, comparison.operator, comparison.value))
    return Q(pk__in=found.values(f"{child.parent}_id"))


def _has_any(found: QuerySet, child: Child, within: Within) -> Q:
    """Ask for the key itself: inside known experiments as a set that fits into memory.

    As a question per row, which it is elsewhere, the planner would ask it of each run,
    never knowing that most of them have the key.
    """
    if within is None or isinstance(within, QuerySet):
        return Q(Exists(found.filter(**{child.parent: OuterRef("pk")})))
    return Q(pk__in=found.values(f"{child.parent}_id"))


def _of_value(child: Child, operator: str, value: Literal) -> Q:
    if child.kind is Kind.NUMBER:
        return number_condition("value", operator, number(value))
    if not child.head:
        return text_condition("value", operator, value)
    text, head = str(value), str(value)[: child.head]
    if operator == "=":
        # The head alone is in the index, and mostly it is the whole value.
        is_long = len(text) >= child.head
        return Q(head=head) & Q(value=text) if is_long else Q(head=head)
    condition = text_condition("value", operator, value)
    if operator == "LIKE" and (begin := beginning(text)[: child.head]):
        condition &= Q(head__gte=begin)
        if behind := following(begin):
            condition &= Q(head__lt=behind)
    return condition


def _by_input(
    rows: QuerySet, field: InputField, comparison: Comparison, within: Within
) -> Q:
    """A run meets it with any of the datasets that it used."""
    found = model_of(rows, "inputs")._default_manager.all()
    if within is not None:
        found = found.filter(narrowed("dataset__experiment_id", within))
    condition = text_condition(field.lookup, comparison.operator, comparison.value)
    if field.lookup == CONTEXT:
        # A use for no stated purpose has none to compare.
        condition &= ~Q((CONTEXT, ""))
    return Q(pk__in=found.filter(condition).values("run_id"))


# Children


def children(rows: QuerySet, child: Child, key: str, within: Within) -> QuerySet:
    """All rows of the child with that key, as far as they may belong to `rows`."""
    found = model_of(rows, child.relation)._default_manager.filter(**{child.key: key})
    if child.is_narrow and within is not None:
        found = found.filter(narrowed("experiment_id", within))
    return found


def model_of(rows: QuerySet, relation: str) -> type[Model]:
    model = rows.model._meta.get_field(relation).related_model
    assert isinstance(model, type)
    return model


def narrowed(path: str, within: Sequence[UUID] | QuerySet) -> Q:
    if isinstance(within, QuerySet):
        return Q((f"{path}__in", within))
    return Q(AnyOf.keys(path, within))


def about(datasets: Datasets) -> Q:
    """Points about any of the datasets; an empty name or digest is any."""
    condition = Q()
    for name, digest in datasets:
        asked = {"dataset_name": name, "dataset_digest": digest}
        condition |= Q(**{field: text for field, text in asked.items() if text})
    return condition


# Patterns


def beginning(pattern: str) -> str:
    """Return what all texts begin with that the pattern can match."""
    for at, character in enumerate(pattern):
        if character in "%_\\":
            return pattern[:at]
    return pattern


def following(text: str) -> str:
    """Return the first text behind all that begin with this one, by code points."""
    text = text.rstrip(chr(0x10FFFF))
    if not text:
        return ""
    code = ord(text[-1]) + 1
    # Surrogates are no characters.
    return text[:-1] + chr(0xE000 if code == 0xD800 else code)


def number(value: Literal) -> float:
    assert isinstance(value, int | float)
    return value

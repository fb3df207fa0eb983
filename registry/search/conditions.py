"""What a comparison asks of one column, by the kind of its values."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import BooleanField, F, Q, Value
from django.db.models.expressions import Combinable

from mlops.db.uuid7 import EPOCH, MILLISECOND
from registry.search.expressions import ILike, Like, hex_text
from registry.search.fields import Field, Kind
from registry.search.grammar import Literal

NEVER = Q(Value(False, output_field=BooleanField()))
INT64 = range(-(2**63), 2**63)
# Beyond all that a column holds, so that infinity can be counted with.
BEYOND = 2**64
LARGEST = 1.7976931348623157e308
NAN = float("nan")
HEX = re.compile(r"[0-9a-f]{32}")
MOMENTS = range(
    (datetime.min.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // MILLISECOND,
    (datetime.max.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // MILLISECOND,
)


def text_condition(
    path: str, operator: str, value: Literal, *, of: Combinable | None = None
) -> Q:
    """Compare texts; LIKE compares `of`, where that is another form of the column."""
    match operator:
        case "=":
            return Q((path, value))
        case "!=":
            return ~Q((path, value))
        case "IN":
            return Q((f"{path}__in", value))
        case "NOT IN":
            return ~Q((f"{path}__in", value))
    like = Like if operator == "LIKE" else ILike
    return Q(like(of or F(path), Value(value)))


def number_condition(path: str, operator: str, value: float) -> Q:
    """Compare floats as MLflow does: NaN meets nothing but !=.

    To PostgreSQL NaN is above all numbers. Infinity is stored as itself and shown as
    the largest number, which is therefore what it compares as.
    """
    if abs(value) == LARGEST:
        return _largest_condition(path, operator, value)
    if math.isinf(value):
        return _infinite_condition(path, operator, value)
    match operator:
        case "=":
            return Q((path, value))
        case "!=":
            return ~Q((path, value))
        case "<":
            return Q((f"{path}__lt", value))
        case "<=":
            return Q((f"{path}__lte", value))
    lookup = "gt" if operator == ">" else "gte"
    return Q((f"{path}__{lookup}", value)) & is_number(path)


def is_number(path: str) -> Q:
    return Q((f"{path}__lt", NAN))


def _infinite_condition(path: str, operator: str, value: float) -> Q:
    """No number is as large as infinity, and each is smaller."""
    if operator == "!=":
        return ~NEVER
    is_met = operator.startswith("<") if value > 0 else operator.startswith(">")
    return is_number(path) if is_met else NEVER


def _largest_condition(path: str, operator: str, value: float) -> Q:
    """Compare with the largest number or the smallest, which infinity counts as."""
    is_high = value > 0
    edge = Q((f"{path}__gte" if is_high else f"{path}__lte", value)) & is_number(path)
    match operator:
        case "=":
            return edge
        case "!=":
            return ~edge
        case "<=" | ">=":
            return is_number(path) if (operator == "<=") is is_high else edge
    inside = Q((f"{path}__lt" if is_high else f"{path}__gt", value)) & is_number(path)
    return inside if (operator == "<") is is_high else NEVER


def whole_condition(path: str, kind: Kind, operator: str, value: float) -> Q:
    """Compare whole numbers, or moments by their milliseconds."""
    if operator == "!=":
        return Q((f"{path}__isnull", False)) & ~whole_condition(path, kind, "=", value)
    low, high = _bounds(operator, value)
    domain = MOMENTS if kind is Kind.MOMENT else INT64
    if low >= high or low >= domain.stop or high <= domain.start:
        return NEVER
    condition = Q((f"{path}__isnull", False))
    if low > domain.start:
        condition &= Q((f"{path}__gte", _stored(low, kind)))
    if high < domain.stop:
        condition &= Q((f"{path}__lt", _stored(high, kind)))
    return condition


def _bounds(operator: str, value: float) -> tuple[int, int]:
    """Return the lowest whole number that meets it, and the first behind them."""
    value = max(-BEYOND, min(value, BEYOND))
    floor, ceiling = math.floor(value), math.ceil(value)
    match operator:
        case ">":
            return floor + 1, BEYOND
        case ">=":
            return ceiling, BEYOND
        case "<":
            return -BEYOND, ceiling
        case "<=":
            return -BEYOND, floor + 1
    return ceiling, floor + 1


def _stored(number: int, kind: Kind) -> int | datetime:
    if kind is Kind.MOMENT:
        return EPOCH + timedelta(milliseconds=number)
    return number


def key_condition(field: Field, operator: str, value: Literal) -> Q:
    """Compare keys by their digits; a key that is missing is empty text."""
    path = str(field.path)
    if operator in ("LIKE", "ILIKE"):
        return text_condition(path, operator, value, of=hex_text(path, field.prefix))
    texts = value if isinstance(value, tuple) else (str(value),)
    keys = [key for key in (read_key(text, field.prefix) for text in texts) if key]
    condition = Q((f"{path}__in", keys)) if keys else NEVER
    may_lack = path != "pk"
    if operator in ("=", "IN"):
        is_met = condition
        return (
            is_met | Q((f"{path}__isnull", True))
            if may_lack and "" in texts
            else is_met
        )
    if not may_lack:
        return ~condition
    lacks = Q((f"{path}__isnull", True))
    return ~condition & ~lacks if "" in texts else ~condition | lacks


def read_key(text: str, prefix: str) -> UUID | None:
    digits = text.removeprefix(prefix)
    if text.startswith(prefix) and HEX.fullmatch(digits):
        return UUID(digits)
    return None


def label_condition(path: str, operator: str, value: Literal) -> Q:
    """Compare numbers that are written as text."""
    texts = value if isinstance(value, tuple) else (str(value),)
    # One with more digits is no int64.
    numbers = {int(text) for text in texts if len(text) <= 30}
    known = sorted(numbers & set(filter(INT64.__contains__, numbers)))
    condition = Q((f"{path}__in", known)) if known else NEVER
    return condition if operator in ("=", "IN") else ~condition

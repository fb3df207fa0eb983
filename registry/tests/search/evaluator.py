"""MLflow's search over plain data, in plain Python: what the database must agree with.

It knows nothing of our parser or compiler: a filter arrives as the clauses from which
its text was written.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from registry.tests.search.population import LARGEST, PlainRun

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "IN": lambda left, right: left in right,
    "NOT IN": lambda left, right: left not in right,
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition, as whoever wrote it meant it."""

    noun: str
    key: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class By:
    """A field of an order, as whoever wrote it meant it."""

    noun: str
    key: str
    descends: bool


def meets(run: PlainRun, clause: Clause) -> bool:
    values = values_of(run, clause.noun, clause.key)
    if clause.operator == "IS NULL":
        return not values
    if clause.operator == "IS NOT NULL":
        return bool(values)
    return any(holds(value, clause.operator, clause.value) for value in values)


def holds(value: Any, comparator: str, wanted: Any) -> bool:
    if comparator in ("LIKE", "ILIKE"):
        return bool(expression_of(wanted, comparator).fullmatch(value))
    if isinstance(value, float):
        # MLflow stores infinity as the largest number.
        value = max(-LARGEST, min(value, LARGEST)) if not math.isnan(value) else value
    return COMPARE[comparator](value, wanted)


@cache
def expression_of(pattern: str, comparator: str) -> re.Pattern[str]:
    """Write PostgreSQL's pattern as a regular expression."""
    written, characters = "", iter(pattern)
    for character in characters:
        if character == "\\":
            written += re.escape(next(characters))
        else:
            written += {"%": ".*", "_": "."}.get(character) or re.escape(character)
    flags = re.IGNORECASE if comparator == "ILIKE" else 0
    return re.compile(written, flags | re.DOTALL)


def values_of(run: PlainRun, noun: str, key: str) -> list[Any]:
    """Return what the run has there: nothing, one value, or one per dataset."""
    match noun:
        case "dataset":
            index = ("name", "digest", "context").index(key)
            return [used[index] for used in run.inputs if used[index] is not None]
        case "attribute":
            value = attribute_of(run, key)
            return [] if value is None else [value]
    of_noun: dict[str, dict[str, Any]] = {
        "metric": {**run.metrics},
        "parameter": {**run.params},
        "tag": {**run.tags},
    }
    children = of_noun[noun]
    return [children[key]] if key in children else []


def attribute_of(run: PlainRun, key: str) -> Any:
    if key == "run_name":
        # MLflow looks at the tag, not at the column.
        return run.tags.get("mlflow.runName")
    names = {
        "run_id": run.key.hex,
        "status": run.status,
        "user_id": run.user,
        "start_time": run.start,
        "end_time": run.end,
        "artifact_uri": run.uri,
    }
    return names[key]


# Order


def sorted_runs(runs: Sequence[PlainRun], order: Sequence[By]) -> list[PlainRun]:
    """Sort as MLflow does: numbers, then NaN, then nothing, whichever way it goes."""
    started, known = (
        By("attribute", "start_time", True),
        By("attribute", "run_id", False),
    )
    found = list(runs)
    # The last field first: each sort leaves equal rows as they are.
    for by in reversed([*order, started, known]):
        ranked: tuple[list[PlainRun], ...] = ([], [], [])
        for run in found:
            ranked[rank(ordered_value(run, by))].append(run)
        ranked[0].sort(key=partial(ordered_value, by=by), reverse=by.descends)
        found = [run for runs_of_rank in ranked for run in runs_of_rank]
    return found


def ordered_value(run: PlainRun, by: By) -> Any:
    if (by.noun, by.key) == ("attribute", "run_name"):
        return run.name
    values = values_of(run, by.noun, by.key)
    return values[0] if values else None


def rank(value: Any) -> int:
    if value is None:
        return 2
    return 1 if isinstance(value, float) and math.isnan(value) else 0

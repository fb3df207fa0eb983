"""The order of a search, as MLflow's clients write it, and its pages by keyset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from mlops.errors import InvalidInput
from registry.refusals import shown

MAX_CLAUSES = 20
MAX_CLAUSE = 300
CLAUSE = re.compile(
    r"\s*(?:attr(?:ibutes?)?\.)?[`\"]?(\w+)[`\"]?(?:\s+(asc|desc))?\s*", re.IGNORECASE
)
EXPERIMENT_FIELDS = {
    "name": "name",
    "experiment_id": "iid",
    "creation_time": "created_at",
    "last_update_time": "updated_at",
}
NEWEST_RUN_FIRST = ("start_time", True)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the place where they end if more follow."""

    rows: list[Any]
    end: list[Any]


@dataclass(frozen=True, slots=True)
class Order:
    """Fields as Django orders by them; the last one tells all rows apart."""

    names: tuple[str, ...]

    def page(self, rows: QuerySet, *, limit: int, after: Sequence[Any]) -> Page:
        """Read one page. However deep it is, no row before it is read."""
        if after:
            rows = rows.filter(self._beyond(after))
        # One row more than asked for tells whether there is a next page.
        found = list(rows.order_by(*self.names)[: limit + 1])
        page = found[:limit]
        return Page(page, self._place(page[-1]) if len(found) > limit else [])

    def _beyond(self, place: Sequence[Any]) -> Q:
        """Equal in the first fields, and past the place in the next one."""
        condition, equal = Q(), Q()
        for name, value in zip(self.names, place, strict=True):
            field = name.lstrip("-")
            past = "lt" if name.startswith("-") else "gt"
            condition |= equal & Q(**{f"{field}__{past}": value})
            equal &= Q(**{field: value})
        return condition

    def _place(self, row: Model) -> list[Any]:
        return [_plain(getattr(row, name.lstrip("-"))) for name in self.names]


def _plain(value: Any) -> Any:
    """Write what JSON has no form for as text, which the database reads back."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex if isinstance(value, UUID) else value


def order_of_experiments(clauses: Sequence[str]) -> Order:
    """Read "name ASC" and the like; a key named twice counts where it stands first."""
    found: dict[str, str] = {}
    for key, descends in map(read_clause, few(clauses)):
        if key not in EXPERIMENT_FIELDS:
            raise InvalidInput(
                f"Invalid attribute key '{shown(key)}' specified. "
                f"Valid keys are '{sorted(EXPERIMENT_FIELDS)}'"
            )
        field = EXPERIMENT_FIELDS[key]
        found.setdefault(field, f"-{field}" if descends else field)
    if not found:
        found["created_at"] = "-created_at"
    found.setdefault("iid", "iid")
    # What stands behind a unique field orders nothing.
    names = list(found.values())
    return Order(tuple(names[: list(found).index("iid") + 1]))


def refuse_other_order_of_runs(clauses: Sequence[str]) -> None:
    """Runs come newest start first, which is MLflow's default and its UI's choice."""
    for clause in few(clauses):
        if read_clause(clause) != NEWEST_RUN_FIRST:
            raise InvalidInput(
                f"Invalid order_by clause '{shown(clause)}'. "
                "Only 'start_time DESC' is supported yet."
            )


def read_clause(text: str) -> tuple[str, bool]:
    """Return the key, and whether it descends."""
    found = CLAUSE.fullmatch(text) if len(text) <= MAX_CLAUSE else None
    if not found:
        raise InvalidInput(
            f"Invalid order_by clause '{shown(text)}'. Could not be parsed."
        )
    return found[1], (found[2] or "").lower() == "desc"


def few(clauses: Sequence[str]) -> Sequence[str]:
    if len(clauses) > MAX_CLAUSES:
        raise InvalidInput(
            f"'order_by' has {len(clauses)} clauses; use at most {MAX_CLAUSES}."
        )
    return clauses

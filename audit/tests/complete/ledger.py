"""Holds the trail against the tables: whatever is stored, entries must have told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import QuerySet

from audit.captured import CAPTURED
from audit.folding import (
    Cell,
    Contradiction,
    State,
    captured_rows,
    differences,
    fold,
    present_rows,
    tells_of_row,
)
from audit.models import AuditLog
from audit.operations import Batches, noun_of
from audit.tests.trail import run

Object = tuple[str, str]
SIGNS = {"created": 1, "updated": 0, "deleted": -1}


# One question for all tables: which rows are not what they were when last compared.
MARK = """
SELECT '{table}', id::text, hashtextextended(to_jsonb(stored)::text, 0)
FROM public.{table} AS stored
"""


class Ledger:
    """Reads each entry once; compares the rows that changed or that entries tell of."""

    def __init__(self) -> None:
        self.read_until = datetime(2000, 1, 1, tzinfo=UTC)
        self.histories: dict[Object, list[AuditLog]] = {}
        self.states: dict[Object, State | None] = {}
        self.marks: dict[Object, int] = {}
        self.counts: Counter[tuple[str, Any]] = Counter()

    def complaints(self) -> list[str]:
        """Say wherever tables and entries, the new ones included, differ."""
        touched = {object_of(entry) for entry in self._catch_up()}
        found = list(self._fold(touched))
        marks = {(table, key): mark for table, key, mark in run(question())}
        changed = marks.items() ^ self.marks.items()
        self.marks = marks
        found += self._compare(touched | {place for place, _ in changed})
        return [*found, *self._of_batches()]

    def _catch_up(self) -> list[AuditLog]:
        """Take in and return the entries of rows since the last time."""
        new = list(since(self.read_until))
        if new:
            self.read_until = new[-1].created_at
        of_rows = list(filter(tells_of_row, new))
        for entry in of_rows:
            self.histories.setdefault(object_of(entry), []).append(entry)
        for entry in new:
            self._count(entry)
        return of_rows

    def _count(self, entry: AuditLog) -> None:
        """Add what a summary says was stored, or take off what was deleted."""
        noun, _, verb = entry.action.rpartition(".")
        if noun in batched():
            summary = entry.after or entry.before or {}
            self.counts[noun, entry.organization_id] += SIGNS[verb] * summary["count"]

    def _fold(self, touched: set[Object]) -> Iterator[str]:
        for place in touched:
            try:
                self.states[place] = fold(self.histories[place])
            except Contradiction as broken:
                yield broken.message

    def _compare(self, places: set[Object]) -> Iterator[str]:
        for model in captured_rows():
            table = model._meta.db_table
            keys = sorted(key for name, key in places if name == table)
            stored = present_rows(connection, model, keys) if keys else {}
            for key in keys:
                state = self.states.get((table, key))
                for difference in of_row(state, stored.get(key)):
                    yield f"{table} {key}: {difference}"

    def _of_batches(self) -> Iterator[str]:
        for noun, model in batched().items():
            stored: Counter[Any] = Counter(
                model._base_manager.values_list("organization_id", flat=True)
            )
            for key in sorted(stored.keys() | self._organizations_of(noun)):
                if stored[key] != self.counts[noun, key]:
                    told = self.counts[noun, key]
                    yield f"{noun} of {key}: {stored[key]} rows, {told} told"

    def _organizations_of(self, noun: str) -> set[Any]:
        return {organization for name, organization in self.counts if name == noun}


def of_row(state: State | None, row: dict[str, Cell] | None) -> list[str]:
    """Demand that the entries know each column, as no migration came between."""
    found = differences(state, row)
    if state and row and state.keys() != row.keys():
        found.append(f"only one of them knows {sorted(state.keys() ^ row.keys())}")
    return found


@cache
def question() -> str:
    tables = [model._meta.db_table for model in captured_rows()]
    return " UNION ALL ".join(MARK.format(table=table) for table in tables)


def since(moment: datetime) -> QuerySet[AuditLog]:
    entries = AuditLog._base_manager.filter(created_at__gt=moment)
    return entries.order_by("created_at", "pk")


def object_of(entry: AuditLog) -> Object:
    """Table and id; who has no UUID says its number in what was or what is."""
    row = entry.after or entry.before or {}
    return entry.object_type, str(entry.object_id or row.get("id"))


@cache
def batched() -> dict[str, Any]:
    """Map the nouns of summaries to their models."""
    captured = {apps.get_model(label): how for label, how in CAPTURED.items()}
    return {noun_of(m): m for m, how in captured.items() if isinstance(how, Batches)}

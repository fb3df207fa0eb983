"""What the entries of one object say it is now, and whether its row says the same.

A row's first entry tells all of it and each later one what changed, before and after:
laid over one another they are its present state, if none is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from django.apps import apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import sql
from audit.captured import CAPTURED
from audit.models import AuditLog
from audit.operations import Rows, noun_of
from mlops.errors import DomainError

# Columns and their values, as the entries tell them: secrets redacted, texts shortened.
State = dict[str, Any]
CHANGES = frozenset({"updated", "soft_deleted", "restored"})


class Cell(NamedTuple):
    """What a column holds, and the digest and size of its text."""

    value: Any
    sha256: str | None
    size_bytes: int | None


class Contradiction(DomainError):
    """The entries of this object do not follow from one another."""

    code = "contradiction"
    status = 500

    def __init__(self, entry: AuditLog, reason: str) -> None:
        self.entry = entry
        super().__init__(f"Entry {entry.pk} ({entry.action}): {reason}")


def fold(entries: Iterable[AuditLog]) -> State | None:
    """Return what the entries of one object make of it; None: there is no such row.

    Takes them in any order and passes over those that tell of no change of the row. A
    history that begins later than its object knows only the columns that it tells of.
    Raises Contradiction where an entry does not follow from those before it.
    """
    state: State | None = None
    is_first = True
    for entry in sorted(filter(tells_of_row, entries), key=moment):
        state = _after(entry, {} if is_first else state, is_first)
        is_first = False
    return state


def moment(entry: AuditLog) -> tuple[Any, ...]:
    """Within one millisecond ids are in no order."""
    return entry.created_at, entry.pk


def tells_of_row(entry: AuditLog) -> bool:
    """Batches and recorded occurrences bear the object that they are about, too."""
    return entry.action.rpartition(".")[0] == nouns().get(entry.object_type)


def _after(entry: AuditLog, state: State | None, is_first: bool) -> State | None:
    verb = entry.action.rpartition(".")[2]
    if verb == "created":
        if state is not None and not is_first:
            raise Contradiction(entry, "the object was there already.")
        return dict(entry.after or {})
    if state is None:
        raise Contradiction(entry, "the object was not there.")
    refuse_other_past(entry, state)
    if verb == "deleted":
        return None
    if verb not in CHANGES:
        raise Contradiction(entry, f"“{verb}” is nothing that happens to a row.")
    return {**state, **(entry.after or {})}


def refuse_other_past(entry: AuditLog, state: State) -> None:
    """Raises Contradiction when the entry saw other values than were told before."""
    before = entry.before or {}
    for column in sorted(before.keys() & state.keys()):
        if not agree(before[column], state[column]):
            raise Contradiction(entry, f"{column} was not what it says.")


def differences(state: State | None, row: Mapping[str, Cell] | None) -> list[str]:
    """Say where a row (present_rows) is not what its entries tell; [] is fine.

    A column that only one of them knows was added or dropped by a migration since.
    """
    if state is None or row is None:
        if (state is None) == (row is None):
            return []
        return ["no entry tells of the row" if state is None else "the row is gone"]
    return [
        f"{column} is not what its entries tell"
        for column in sorted(state.keys() & row.keys())
        if not describes(state[column], row[column])
    ]


def describes(told: Any, cell: Cell) -> bool:
    """Tell whether an entry's value is what the capture makes of this one."""
    if same(told, cell.value):
        return True
    if is_redacted(told):
        return cell.value is not None and (cell.sha256 or "").startswith(
            told.get("sha256_8", "")
        )
    return is_shortened(told) and (told["sha256"], told["size_bytes"]) == cell[1:]


def agree(one: Any, other: Any) -> bool:
    """Compare what two entries tell of one value."""
    if same(one, other):
        return True
    # Whether a text is shortened depends on what else its entry holds.
    for short, whole in ((one, other), (other, one)):
        if is_shortened(short) and not is_shortened(whole):
            return not isinstance(whole, str) or short["sha256"] == digest_of(whole)
    return False


def same(one: Any, other: Any) -> bool:
    """Compare as jsonb does: 1 is 1.0, and neither is true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def is_redacted(told: Any) -> bool:
    return isinstance(told, dict) and told.get("redacted") is True


def is_shortened(told: Any) -> bool:
    return isinstance(told, dict) and told.keys() == {
        "shortened",
        "size_bytes",
        "sha256",
    }


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def nouns() -> dict[str, str]:
    """Map the tables captured row by row to what their actions begin with."""
    return {model._meta.db_table: noun_of(model) for model in captured_rows()}


def captured_rows() -> dict[type[models.Model], Rows]:
    """Map the models whose changes leave an entry per row to how they are captured."""
    captured = {apps.get_model(label): how for label, how in CAPTURED.items()}
    return {model: how for model, how in captured.items() if isinstance(how, Rows)}


def present_rows(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    ids: Iterable[object] | None = None,
) -> dict[str, dict[str, Cell]]:
    """Read rows as the capture sees them, by id: those named, or all.

    Run it inside a transaction, by a role that row-level security does not bind.
    """
    has_uuid = isinstance(model._meta.pk, models.UUIDField)
    found = sql.present_rows(
        connection,
        model._meta.db_table,
        ids=None if ids is None else [str(each) for each in ids],
        key="uuid" if has_uuid else "int8",
        uncaptured=captured_rows()[model].uncaptured(model),
    )
    return {
        key: {name: Cell(*cell) for name, cell in cells.items()}
        for key, cells in found.items()
    }

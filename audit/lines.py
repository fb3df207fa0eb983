"""Entries as text: JSON lines, from which they can be proven, and CSV for tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from django.db.models import TextField
from django.db.models.functions import Cast

from audit.models import AuditLog

COLUMNS = tuple(field.attname for field in AuditLog._meta.concrete_fields)
SIDES = ("before", "after")
# With these a spreadsheet takes text for a formula; so it does with their wide forms.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
HARMLESS = "'"

Entry = tuple[Any, ...]


def columns_of(rows: Any) -> Any:
    """Read entries as tuples, with both sides as the text that PostgreSQL keeps.

    So they are sealed; as numbers of Python they would lose digits, and their proof.
    """
    texts = {f"{side}_text": Cast(side, TextField()) for side in SIDES}
    names = [f"{name}_text" if name in SIDES else name for name in COLUMNS]
    return rows.annotate(**texts).values_list(*names)


def moment(value: datetime) -> str:
    text = value.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def as_json(entries: Iterable[Entry]) -> bytes:
    """Write an object a line; both sides are objects in it, as they are sealed."""
    return b"".join(_json_line(entry) for entry in entries)


def _json_line(entry: Entry) -> bytes:
    values = dict(zip(COLUMNS, entry, strict=True))
    for side in SIDES:
        if values[side] is not None:
            values[side] = orjson.Fragment(values[side])
    values["created_at"] = moment(values["created_at"])
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)


def as_csv(entries: Iterable[Entry]) -> bytes:
    return _csv([map(_cell, entry) for entry in entries])


def csv_head() -> bytes:
    return _csv([COLUMNS])


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, UUID | int):
        return str(value)
    return HARMLESS + value if value.startswith(FORMULA) else str(value)


class Written:
    """How an export is written: its media type, what stands first, and its entries."""

    def __init__(
        self, media_type: str, head: bytes, write: Callable[[Iterable[Entry]], bytes]
    ) -> None:
        self.media_type = media_type
        self.head = head
        self.write = write


FORMATS = {
    "jsonl": Written("application/x-ndjson", b"", as_json),
    "csv": Written("text/csv; charset=utf-8", csv_head(), as_csv),
}

"""The hot path's way to the database: one prepared statement, one value back.

A hot request is one statement that commits by itself. Django's cursor would spend more
on it than the statement's own planning: it binds on the client, so nothing can be
prepared, and reads rows into objects. Here columns travel as binary arrays and the
answer leaves as the bytes that PostgreSQL wrote.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any
from weakref import WeakSet

import psycopg
from django.db import connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

from mlops.db.retries import retrying
from mlops.telemetry import timed


def fetch(statement: str, parameters: Mapping[str, Any]) -> bytes:
    """Run the statement and return the one text of its one row.

    Raises what Django's own cursor raises. Inside a transaction a failure takes back
    this statement only; outside, a deadlock is tried again.
    """
    connection.ensure_connection()

    def once() -> bytes:
        with connection.wrap_database_errors:
            return _fetch(statement, parameters)

    return retrying(once)


def _fetch(statement: str, parameters: Mapping[str, Any]) -> bytes:
    raw = connection.connection
    if raw not in _ready:
        _make_ready(raw)
    # psycopg's own savepoint: it is not counted, and only tests have a transaction.
    within = nullcontext() if raw.autocommit else raw.transaction()
    with within, timed():
        cursor = psycopg.Cursor(raw)
        # Safe to prepare, as no pipeline is open that may roll the preparing back.
        cursor.execute(statement, parameters, prepare=True)
        # Past psycopg's loaders, which would decode what is to be sent as it stands.
        answer = cursor.pgresult and cursor.pgresult.get_value(0, 0)
    return bytes(answer or b"")


_ready: WeakSet[psycopg.Connection] = WeakSet()


def _make_ready(raw: psycopg.Connection) -> None:
    """Allow preparing, which Django forbids for its own sake, and teach it columns."""
    if raw.prepare_threshold is None:
        raw.prepare_threshold = 5
    for column in (Bigints, Floats, Uuids, Texts, Booleans):
        raw.adapters.register_dumper(column, ColumnDumper.of(column))
    _ready.add(raw)


class Column:
    """Values for `unnest`, packed as PostgreSQL's binary array in one go."""

    __slots__ = ("packed",)
    array_oid = 0

    def __init__(self, packed: bytes) -> None:
        self.packed = packed


class ColumnDumper(Dumper):
    format = Format.BINARY

    @classmethod
    def of(cls, column: type[Column]) -> type[ColumnDumper]:
        return type(f"{column.__name__}Dumper", (cls,), {"oid": column.array_oid})

    def dump(self, obj: Column) -> bytes:
        return obj.packed


def _array(element_oid: int, count: int, elements: bytes) -> bytes:
    """Put the head on: dimensions, a flag for NULLs, type, length, first subscript."""
    if not count:
        return struct.pack("!iiI", 0, 0, element_oid)
    return struct.pack("!iiIii", 1, 0, element_oid, count, 1) + elements


def _fixed(element_oid: int, code: str, size: int, values: Sequence[Any]) -> bytes:
    """Pack elements of one size, each behind its length."""
    count = len(values)
    flat = [size] * (2 * count)
    flat[1::2] = values
    return _array(element_oid, count, struct.pack("!" + f"i{code}" * count, *flat))


class Bigints(Column):
    __slots__ = ()
    array_oid = 1016

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(_fixed(20, "q", 8, values))


class Floats(Column):
    __slots__ = ()
    array_oid = 1022

    def __init__(self, values: Sequence[float]) -> None:
        super().__init__(_fixed(701, "d", 8, values))


class Booleans(Column):
    __slots__ = ()
    array_oid = 1000

    def __init__(self, values: Sequence[bool]) -> None:
        super().__init__(_fixed(16, "?", 1, values))


class Uuids(Column):
    """Ids as 32 hex digits each."""

    __slots__ = ()
    array_oid = 2951

    def __init__(self, values: Sequence[str]) -> None:
        length = b"\x00\x00\x00\x10"
        raw = bytes.fromhex("".join(values))
        parts = [raw[start : start + 16] for start in range(0, len(raw), 16)]
        elements = length + length.join(parts) if parts else b""
        super().__init__(_array(2950, len(parts), elements))


class Texts(Column):
    __slots__ = ()
    array_oid = 1009

    def __init__(self, values: Sequence[str]) -> None:
        parts = []
        for value in values:
            raw = value.encode()
            parts.append(len(raw).to_bytes(4, "big"))
            parts.append(raw)
        super().__init__(_array(25, len(values), b"".join(parts)))

"""Hostile bodies, by what is wrong with them: one list for all skins and routes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

Body = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """Spoils a body that may be valid; the rest of it stays as it is."""

    name: str
    spoil: Callable[[Body], bytes]

    def __str__(self) -> str:
        return self.name


def member(name: str, value: bytes) -> Callable[[Body], bytes]:
    """Put one more member first, its value as it stands."""

    def spoil(body: Body) -> bytes:
        others = {key: body[key] for key in body if key != name}
        rest = json.dumps(others).encode()[1:]
        return b'{"%b": %b%b%b' % (
            name.encode(),
            value,
            b", " if others else b"",
            rest,
        )

    return spoil


def whole(body: bytes) -> Callable[[Body], bytes]:
    return lambda _: body


def twice(body: Body) -> bytes:
    return json.dumps(body).encode()[:-1] + (
        b', "twice": 1, "twice": 2}' if body else b'"twice": 1, "twice": 2}'
    )


def encoded(encoding: str) -> Callable[[Body], bytes]:
    return lambda body: json.dumps({**body, "é": "é"}).encode(encoding)


ROWS = [
    Row("NUL in a text", member("name", rb'"a\u0000b"')),
    Row("NUL in a key", member(r"a\u0000b", b"1")),
    Row("NUL, raw", member("name", b'"a\x00b"')),
    Row("NUL inside JSON", member("metadata", rb'{"a": ["\u0000"]}')),
    Row("a lone surrogate", member("name", rb'"\ud800"')),
    Row("a lone low surrogate", member("name", rb'"\udfff"')),
    Row("surrogates in the wrong order", member("name", rb'"\udc00\ud800"')),
    Row("a lone surrogate inside JSON", member("metadata", rb'{"a": "\ud800"}')),
    Row("1e400", member("timestamp", b"1e400")),
    Row("-1e400", member("step", b"-1e400")),
    Row("1e400 inside JSON", member("metadata", b'{"a": 1e400}')),
    Row("5,000 digits", member("step", b"1" * 5000)),
    Row("5,000 digits inside JSON", member("metadata", b'{"a": %b}' % (b"1" * 5000))),
    Row("NaN", member("value", b"NaN")),
    Row("Infinity", member("value", b"Infinity")),
    Row("-Infinity", member("metadata", b'{"a": -Infinity}')),
    Row("100,000 brackets", whole(b"[" * 100_000)),
    Row("100,000 braces", whole(b'{"a":' * 100_000)),
    Row("900 levels", member("metadata", b"[" * 900 + b"]" * 900)),
    Row("33 levels", member("metadata", b"[" * 32 + b"]" * 32)),
    Row("a key twice", twice),
    Row("a key twice inside JSON", member("metadata", b'{"a": 1, "a": 1}')),
    Row("null", whole(b"null")),
    Row("true", whole(b"true")),
    Row("a number", whole(b"5")),
    Row("a text", whole(b'"text"')),
    Row("a text with JSON in it", whole(rb'"{\"name\": \"x\"}"')),
    Row("a list", whole(b"[]")),
    Row("a list of bodies", lambda body: json.dumps([body]).encode()),
    Row("bad UTF-8", member("name", b'"\xff"')),
    Row("overlong UTF-8", member("name", b'"\xc0\xae"')),
    Row("UTF-8 of a surrogate", member("name", b'"\xed\xa0\x80"')),
    Row("UTF-16", encoded("utf-16")),
    Row("UTF-32", encoded("utf-32")),
    Row(
        "Latin-1", lambda body: json.dumps({"é": "é"}, ensure_ascii=False).encode("l1")
    ),
    Row("a byte order mark", encoded("utf-8-sig")),
    Row("half a body", lambda body: json.dumps({**body, "a": 1}).encode()[:-2]),
    Row("two bodies", lambda body: json.dumps(body).encode() * 2),
    Row("single quotes", whole(b"{'name': 'x'}")),
    Row("a trailing comma", whole(b'{"name": "x",}')),
    Row("a comment", whole(b'/* */ {"name": "x"}')),
    Row("blanks", whole(b" \n\t ")),
    Row("a form", whole(b"name=x&value=y")),
    Row("XML", whole(b'<?xml version="1.0"?><a>&x;</a>')),
]

every_row: Any = pytest.mark.parametrize("row", ROWS, ids=str)

# What a form of a page could send.
FORM_TYPES = [
    "",
    "text/plain",
    "text/plain; application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "application/json-patch+json",
    "text/json",
    "application/xml",
    "application/json\u00e9",
    "*/*",
]

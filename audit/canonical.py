"""The bytes that an entry is sealed by, written by Python alone.

The database writes the same with audit_leaf(); this is the second opinion, made from
the columns as the driver gets them, as text. Frozen: other bytes for an entry would
make every old seal look damaged, so a change is a new version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from json.encoder import encode_basestring as quote
from typing import Any

VERSION = 1
LEAF = b"\x00" + bytes([VERSION])
NULL = b"\xff\xff\xff\xff"

FIELDS = (
    "id",
    "organization_id",
    "project_id",
    "created_at",
    "transaction_id",
    "actor_kind",
    "actor_id",
    "actor_label",
    "token_public_id",
    "request_id",
    "address",
    "route",
    "action",
    "outcome",
    "object_type",
    "object_id",
    "object_label",
    "before",
    "after",
    "reason",
    "db_role",
    "application_name",
    "backend_pid",
)
MOMENT = FIELDS.index("created_at")
BEFORE, AFTER = FIELDS.index("before"), FIELDS.index("after")

Row = Sequence[bytes | None]


def leaf_of(row: Row) -> bytes:
    """Hash an entry, given its columns in the order of FIELDS as PostgreSQL's texts."""
    return sha256(LEAF + framed(texts_of(row))).digest()


def texts_of(row: Row) -> list[bytes | None]:
    """Write moments and JSON as they are sealed; the rest is its own text."""
    texts = list(row)
    moment, before, after = texts[MOMENT], texts[BEFORE], texts[AFTER]
    texts[MOMENT] = moment and canonical_moment(moment)
    texts[BEFORE] = before and canonical_json(before)
    texts[AFTER] = after and canonical_json(after)
    return texts


def framed(texts: Sequence[bytes | None]) -> bytes:
    """Put each text behind its length in four bytes; null has the length -1."""
    parts: list[bytes] = []
    for text in texts:
        if text is None:
            parts.append(NULL)
        else:
            parts.append(len(text).to_bytes(4, "big"))
            parts.append(text)
    return b"".join(parts)


def canonical_moment(text: bytes) -> bytes:
    """Turn 2026-11-22 13:44:57.12+00 into 2026-11-22T13:44:57.120000Z.

    A moment that no trigger has ever written, such as infinity, stays as it is.
    """
    if len(text) < 22 or text[10:11] != b" " or text[-3:] != b"+00":
        return text
    seconds, _, fraction = text[11:-3].partition(b".")
    return b"%bT%b.%bZ" % (text[:10], seconds, fraction.ljust(6, b"0"))


# JSON: keys by length, then by bytes; ", " and ": " between; what must be escaped is
# escaped, nothing else; numbers keep every digit that they were written with.


class Written(str):
    """JSON that is written already."""

    __slots__ = ()


def canonical_json(text: bytes) -> bytes:
    try:
        return _write(_decoder.decode(text.decode())).encode()
    except RecursionError:
        return _write_by_tokens(text.decode()).encode()


def _object(pairs: list[tuple[str, Any]]) -> Written:
    if len(pairs) > 1:
        pairs.sort(key=_rank)
    written = [f"{quote(key)}: {_write(value)}" for key, value in pairs]
    return Written("{" + ", ".join(written) + "}")


def _rank(pair: tuple[str, Any]) -> tuple[int, bytes]:
    key = pair[0].encode()
    return len(key), key


def _write(value: Any) -> str:
    if type(value) is Written:
        return value
    if type(value) is str:
        return str(quote(value))
    if type(value) is list:
        return "[" + ", ".join([_write(each) for each in value]) + "]"
    return "null" if value is None else "true" if value else "false"


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Written, parse_float=Written
)

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


def _write_by_tokens(text: str) -> str:
    """Write what is nested deeper than Python can call: with a stack of our own."""
    outer: list[list[str]] = []
    level: list[str] = []
    for token in TOKEN.findall(text):
        if token in "{[":
            outer.append(level)
            level = []
        elif token in "}]":
            closed = _closed(token, level)
            level = outer.pop()
            level.append(closed)
        elif token not in ":,":
            level.append(quote(json.loads(token)) if token[0] == '"' else token)
    return level[0]


def _closed(bracket: str, parts: list[str]) -> str:
    if bracket == "]":
        return "[" + ", ".join(parts) + "]"
    pairs = zip(parts[::2], parts[1::2], strict=True)
    ranked = sorted(pairs, key=lambda pair: _rank((json.loads(pair[0]), None)))
    return "{" + ", ".join(f"{key}: {value}" for key, value in ranked) + "}"

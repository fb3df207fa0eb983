"""Strict JSON and strict text: what is hostile reaches neither a view nor the database.

orjson itself refuses bad UTF-8, lone surrogates, NaN, numbers that overflow and more
than 1,024 levels. What it lets through is refused here: NUL, depth, repeated keys. Each
of these has a test on the bytes that a clean body passes at the cost of a glance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any
from urllib.parse import unquote_to_bytes

import orjson
from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, QueryDict, UnreadablePostError
from rest_framework.parsers import BaseParser

from mlops.errors import DomainError, InvalidInput, TooLarge

MAX_DEPTH = 32
MAX_BODY_BYTES = 2 * 1024**2
NUL = "\x00"
DIGITS = re.compile(r"[0-9]{1,18}")
ESCAPED_NUL = b"\\u0000"
ESCAPED_COLON = re.compile(rb"\\u003a", re.IGNORECASE)
CONTAINERS = frozenset({dict, list})


class UnsupportedContent(DomainError):
    """The request body is encoded in a way that this route does not read."""

    code = "unsupported_media_type"
    status = 415


class LengthRequired(DomainError):
    """Send Content-Length: a body without one could end anywhere."""

    code = "length_required"
    status = 411


def parse_json(body: bytes) -> Any:
    """Raises InvalidInput for anything but one clean JSON value."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The request body is not valid JSON: {error}.") from None
    if type(value) in CONTAINERS:
        levels = levels_of(value)
        if not has_plain_keys(body, levels):
            refuse_repeated_keys(body)
    if ESCAPED_NUL in body:
        refuse_nul(value)
    return value


@dataclass(frozen=True, slots=True)
class Level:
    """All objects and arrays that lie equally deep."""

    dicts: list[dict[str, Any]]
    lists: list[list[Any]]

    def values(self) -> Iterator[Any]:
        of_dicts = chain.from_iterable(map(dict.values, self.dicts))
        return chain(of_dicts, chain.from_iterable(self.lists))


def levels_of(value: Any) -> list[Level]:
    """Read level by level. Raises InvalidInput beyond MAX_DEPTH of them."""
    levels: list[Level] = []
    containers = [value]
    while containers:
        if len(levels) == MAX_DEPTH:
            raise InvalidInput(f"The request body is nested deeper than {MAX_DEPTH}.")
        level = Level(
            [each for each in containers if type(each) is dict],
            [each for each in containers if type(each) is list],
        )
        levels.append(level)
        # The largest level holds no other: that is told without a look at each value.
        if CONTAINERS.isdisjoint(map(type, level.values())):
            break
        containers = [each for each in level.values() if type(each) in CONTAINERS]
    return levels


def has_plain_keys(body: bytes, levels: list[Level]) -> bool:
    """Tell whether no key can be there twice; False means: look closer.

    A member has one colon. So as many colons as members leave none for a member that a
    second one of the same key has hidden, once those inside strings are taken off.
    """
    colons = body.count(b":")
    members = sum(sum(map(len, level.dicts)) for level in levels)
    if colons == members:
        return True
    if ESCAPED_COLON.search(body):
        return False
    return colons - sum(map(colons_in_strings, levels)) == members


def colons_in_strings(level: Level) -> int:
    keys = "".join(chain.from_iterable(level.dicts))
    texts = "".join([each for each in level.values() if type(each) is str])
    return keys.count(":") + texts.count(":")


def refuse_repeated_keys(body: bytes) -> None:
    """Raises InvalidInput where an object has a key twice: which one counts?"""
    try:
        json.loads(body, object_pairs_hook=_unique)
    except (RecursionError, ValueError):
        # What a repeated key hid from the first reading.
        raise InvalidInput("The request body is not valid JSON.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidInput(f"The key {twice[:100]!r} appears twice in one object.")
    return found


def refuse_nul(value: Any) -> None:
    """Raises InvalidInput for the character that PostgreSQL cannot store."""
    if type(value) is str:
        refuse_nul_in(value)
    elif type(value) is list:
        for each in value:
            refuse_nul(each)
    elif type(value) is dict:
        for key, each in value.items():
            refuse_nul_in(key)
            refuse_nul(each)


HOLDS_NUL = "text holds the character NUL (U+0000); leave it out."


def refuse_nul_in(text: str) -> None:
    if NUL in text:
        raise InvalidInput(f"A {HOLDS_NUL}")


def read_body(request: HttpRequest, limit: int) -> bytes:
    """Raises TooLarge before a byte is read, UnsupportedContent for a packed body."""
    refuse_encoded(request.META)
    length = content_length(request.META)
    if length > limit:
        raise TooLarge(f"The request body has {length} bytes; send at most {limit}.")
    try:
        return request.body
    except UnreadablePostError:
        raise InvalidInput("The request body did not arrive in full.") from None


def content_length(headers: Mapping[str, Any]) -> int:
    """Raises LengthRequired for a body that comes in pieces: Django would read none."""
    if "chunked" in headers.get("HTTP_TRANSFER_ENCODING", "").lower():
        raise LengthRequired
    text = headers.get("CONTENT_LENGTH") or "0"
    if not DIGITS.fullmatch(text):
        raise InvalidInput(f"Content-Length {text[:50]!r} is not a number.")
    return int(text)


def refuse_encoded(headers: Mapping[str, Any]) -> None:
    encoding = headers.get("HTTP_CONTENT_ENCODING", "identity")
    if encoding != "identity":
        raise UnsupportedContent(
            f"Content-Encoding {encoding[:50]!r} is not read here; send the body plain."
        )


def read_query(request: HttpRequest) -> QueryDict:
    """Raises InvalidInput for a query string that holds NUL or is not UTF-8.

    Django itself would put U+FFFD for bytes that are no text, and find what is there.
    """
    raw = request.META.get("QUERY_STRING", "")
    if "%" in raw or not raw.isascii():
        try:
            text = unquote_to_bytes(raw.encode("latin-1")).decode()
        except UnicodeError:
            raise InvalidInput("The query string is not UTF-8.") from None
        if NUL in text:
            raise InvalidInput(f"{_holder_of_nul(text)}: {HOLDS_NUL}")
    try:
        return request.GET
    except TooManyFieldsSent:
        most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        raise InvalidInput(f"Send at most {most} parameters in a query.") from None


def _holder_of_nul(query: str) -> str:
    """Name the parameter, as far as it can be told once all is decoded."""
    name = query.partition(NUL)[0].rpartition("&")[2].partition("=")[0]
    return name[:100] or "query"


class StrictJSONParser(BaseParser):
    """DRF's door to parse_json; a view may set `max_body_bytes`."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        context = parser_context or {}
        limit = getattr(context.get("view"), "max_body_bytes", MAX_BODY_BYTES)
        if (request := context.get("request")) is not None:
            # Django keeps it, for a transaction that is tried again.
            return parse_json(read_body(request._request, limit))
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes.")
        return parse_json(body)

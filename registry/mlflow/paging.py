"""Page tokens: where a page ended, signed together with the request it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import orjson
from django.core import signing

from registry.refusals import invalid_page_token


def seal(place: Sequence[Any], *request: Any) -> str:
    """Write a place as a token that opens no page of another request."""
    return signing.dumps(list(place), salt=_salt(request))


def unseal(token: str, *request: Any) -> list[Any]:
    """Return the place, or nothing without a token; raises InvalidInput for junk."""
    if not token:
        return []
    try:
        place: list[Any] = signing.loads(token, salt=_salt(request))
    except signing.BadSignature:
        raise invalid_page_token() from None
    return place


def append(body: bytes, place: Sequence[Any], *request: Any) -> bytes:
    """Put the token of the next page, if there is one, into a JSON object."""
    if not place:
        return body
    return b'%b,"next_page_token":"%b"}' % (body[:-1], seal(place, *request).encode())


def _salt(request: Sequence[Any]) -> str:
    return f"mlflow:{blake2b(orjson.dumps(request), digest_size=16).hexdigest()}"

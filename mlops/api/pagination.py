"""Pages by keyset: each begins where the last one ended, however deep, without COUNT.

The cursor is signed together with what it is a cursor of (address, organization and
project of the caller, filters), so it opens no other list than its own.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from mlops.errors import InvalidInput

DEFAULT_LIMIT = 30
MAX_LIMIT = 200
SALT = "mlops.api.pagination"
SIGNATURE_BYTES = 20


class KeysetPagination(BasePagination):
    """Newest first by id; a view may order by another unique field with `keyset`.

    Or by several that are unique together, all of them upwards or all downwards.
    """

    limit_param = "limit"
    cursor_param = "cursor"
    keyset: str | tuple[str, ...] = "-id"

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any]:
        keyset = self.read_keyset(request, view)
        limit = read_limit(request.query_params.get(self.limit_param))
        queryset = self.behind_cursor(queryset)
        # One row more than asked for tells whether there is a next page.
        rows = list(queryset.order_by(*keyset)[: limit + 1])
        self.page, self.has_next = rows[:limit], len(rows) > limit
        return self.page

    def read_keyset(self, request: Request, view: Any) -> tuple[str, ...]:
        keyset = getattr(view, "keyset", self.keyset)
        self.order = (keyset,) if isinstance(keyset, str) else tuple(keyset)
        self.fields = [name.lstrip("-") for name in self.order]
        self.request = request
        return self.order

    def behind_cursor(self, rows: Any) -> Any:
        """Leave out what the pages before have shown."""
        cursor = self.request.query_params.get(self.cursor_param)
        if cursor is None:
            return rows
        last = json.loads(open_cursor(cursor, scope_of(self.request)))
        return rows.filter(beyond(self.order, last))

    def next_link(self) -> str | None:
        if not self.has_next:
            return None
        cursor = seal_cursor(json.dumps(self.last_values()), scope_of(self.request))
        here = self.request.build_absolute_uri()
        return replace_query_param(here, self.cursor_param, cursor)

    def last_values(self) -> list[Any]:
        """Where the page ends, as JSON holds it."""
        return [str(getattr(self.page[-1], field)) for field in self.fields]

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self.next_link()})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {
                "results": schema,
                "next": {"type": "string", "format": "uri", "nullable": True},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}
        return [
            {
                "name": self.limit_param,
                "in": "query",
                "description": f"Rows per page; {DEFAULT_LIMIT} if left out.",
                "schema": {**limit, "default": DEFAULT_LIMIT},
            },
            {
                "name": self.cursor_param,
                "in": "query",
                "description": "Where the page begins, as `next` of the last one says.",
                "schema": {"type": "string"},
            },
        ]


def beyond(keyset: Sequence[str], last: Sequence[str]) -> Q:
    """Rows behind the one with these values, in the order of the keyset.

    The first field stands alone before the alternatives, so that an index that begins
    with it is entered at the right place.
    """
    side = "lt" if keyset[0].startswith("-") else "gt"
    field, value = keyset[0].lstrip("-"), last[0]
    if len(keyset) == 1:
        return Q((f"{field}__{side}", value))
    behind = Q((f"{field}__{side}", value)) | beyond(keyset[1:], last[1:])
    return Q((f"{field}__{side}e", value)) & behind


def read_limit(text: str | None) -> int:
    """Raises InvalidInput unless the text is a number of 1 to MAX_LIMIT."""
    if text is None:
        return DEFAULT_LIMIT
    shaped = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT))
    if not shaped or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidInput(f"limit={text[:50]!r}: use a number from 1 to {MAX_LIMIT}.")
    return int(text)


def scope_of(request: Request) -> str:
    """Write down the list that a cursor belongs to; the page's size is not part."""
    actor = request.user
    owners = (getattr(actor, "organization_id", None), getattr(actor, "project_id", 0))
    paging = {KeysetPagination.limit_param, KeysetPagination.cursor_param}
    filters = sorted(
        (name, value)
        for name, values in request.query_params.lists()
        for value in values
        if name not in paging
    )
    return json.dumps([request.path, *map(str, owners), filters])


def seal_cursor(value: str, scope: str) -> str:
    whole = _signature(value, scope, settings.SECRET_KEY) + value.encode()
    return base64.urlsafe_b64encode(whole).decode().rstrip("=")


def open_cursor(cursor: str, scope: str) -> str:
    """Raises InvalidInput for a cursor that was not made for this very list."""
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), "-_", True)
        value = whole[SIGNATURE_BYTES:].decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise _foreign(cursor) from None
    for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if constant_time_compare(
            whole[:SIGNATURE_BYTES], _signature(value, scope, key)
        ):
            return value
    raise _foreign(cursor)


def _foreign(cursor: str) -> InvalidInput:
    return InvalidInput(
        f"cursor={cursor[:50]!r} does not belong to this list and its filters; take"
        " the address in `next` as it is."
    )


def _signature(value: str, scope: str, secret: str) -> bytes:
    signed = salted_hmac(
        SALT, json.dumps([scope, value]), secret=secret, algorithm="sha256"
    )
    return signed.digest()[:SIGNATURE_BYTES]

"""Request ids, and statement counts for those who measure.

With MLOPS_QUERY_HEADER=1 each response says how many statements it took
(`X-Query-Count`, without BEGIN and COMMIT) and how long they ran (`X-Query-Ms`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponseBase

from mlops.addresses import client_address, prefix_of
from mlops.db.uuid7 import uuid7

REQUEST_ID_LENGTH = 64
# A caller makes up as many others as it likes; they count as one.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(slots=True)
class Tally:
    """Statements of one request."""

    statements: int = 0
    seconds: float = 0.0


_tally: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def timed() -> Iterator[None]:
    """Count the statement inside; the hot paths call it around their raw cursor."""
    tally = _tally.get()
    if tally is None:
        yield
        return
    start = time.perf_counter()
    try:
        yield
    finally:
        tally.statements += 1
        tally.seconds += time.perf_counter() - start


def count_statement(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
) -> Any:
    """Serve as Django's execute wrapper."""
    with timed():
        return execute(sql, params, many, context)


class TelemetryMiddleware:
    """Give each request an id and, where asked for, count its statements."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.request_id = request_id(request)  # type: ignore[attr-defined]
        if settings.QUERY_HEADER:
            response = self._counted(request)
        else:
            response = self.get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response

    def _counted(self, request: HttpRequest) -> HttpResponseBase:
        tally = Tally()
        token = _tally.set(tally)
        try:
            with ExitStack() as stack:
                for connection in connections.all():
                    stack.enter_context(connection.execute_wrapper(count_statement))
                response = self.get_response(request)
        finally:
            _tally.reset(token)
        response["X-Query-Count"] = str(tally.statements)
        response["X-Query-Ms"] = f"{tally.seconds * 1000:.2f}"
        return response


def request_id(request: HttpRequest) -> str:
    """Take a decent id from the proxy in front, or make one."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    if 0 < len(given) <= REQUEST_ID_LENGTH and given.isascii() and given.isprintable():
        return str(given)
    return uuid7().hex


def line_of(request: HttpRequest) -> str:
    """Say which request it is, for the trail: its id, from where, and by which route.

    Separated by tabs, which none of them can hold. The address is that of a network
    unless AUDIT_ADDRESSES says `full`: where a person is concerns few.
    """
    address = client_address(request)
    if settings.AUDIT_ADDRESSES != "full":
        address = prefix_of(address)
    route = getattr(request.resolver_match, "route", "")
    method = request.method if request.method in METHODS else "OTHER"
    return f"{getattr(request, 'request_id', '')}\t{address}\t{method} {route}"

"""Refusals in the trail: who was kept from what, at most once a minute each.

Recorded after the refused request was rolled back, in a transaction of its own, and in
the caller's own organization, whatever it reached for.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from django.db import DatabaseError
from django.http import HttpRequest

from tenants.context import Actor, record, tenant_transaction

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
# Beyond this many at once the counts start anew: memory matters more than they do.
MOST_KEYS = 10_000

Key = tuple[object, ...]


@dataclass(slots=True)
class Seen:
    until: float
    repeated: int = 0


_seen: dict[Key, Seen] = {}
_lock = threading.Lock()


def record_refusal(request: HttpRequest, actor: Actor) -> None:
    """Write one entry, unless the same was refused to the same caller just now.

    A trail that cannot be written must not turn a refusal into a failure.
    """
    route = getattr(request.resolver_match, "route", "")
    repeated = _count((actor.id, actor.token, request.method, route))
    if repeated is None or actor.organization_id is None:
        return
    try:
        with tenant_transaction(actor, request_id=_id_of(request)):
            record(
                "request.refused",
                outcome="denied",
                method=request.method,
                route=route,
                repeated=repeated,
            )
    except DatabaseError:
        logger.exception("A refusal could not be recorded.")


def _id_of(request: HttpRequest) -> str:
    return str(getattr(request, "request_id", ""))


def _count(key: Key) -> int | None:
    """Return how many went unrecorded before this one; None: this one does, too."""
    now = time.monotonic()
    with _lock:
        if len(_seen) > MOST_KEYS:
            _seen.clear()
        before = _seen.get(key)
        if before is not None and now < before.until:
            before.repeated += 1
            return None
        _seen[key] = Seen(now + WINDOW_SECONDS)
    return before.repeated if before else 0

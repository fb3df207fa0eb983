"""Refusals in the trail: who was kept from what, at most once a minute each.

Recorded after the refused request was rolled back, in a transaction of its own, and in
the caller's own organization, whatever it reached for. "Not found" is a refusal too:
whether there is something for others does not show, here no more than in the answer.

The minute is each worker process's own, so two of them may write two entries.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, transaction
from django.http import HttpRequest

from mlops.telemetry import METHODS, line_of
from tenants import sql
from tenants.authentication import Credential, identify
from tenants.context import Actor, binding, record

logger = logging.getLogger(__name__)

REFUSED = frozenset({403, 404})
WINDOW_SECONDS = 60
# Beyond this many at once the counts start anew: memory matters more than they do.
MOST_KEYS = 10_000
# Counts of windows that are over, written along with another refusal.
MOST_OVERDUE = 5


@dataclass(slots=True)
class Refusal:
    """The same method and route, refused to the same caller, within a minute."""

    actor: Actor | None
    method: str
    route: str
    # Of the request that it began with.
    request_line: str
    until: float
    repeated: int = 0


Key = tuple[object, ...]
_seen: dict[Key, Refusal] = {}
_lock = threading.Lock()


def record_refusal(
    request: HttpRequest, credential: Credential, names: dict[str, Any]
) -> None:
    """Write one entry, unless the same was refused to the same caller just now.

    A trail that cannot be written must not turn a refusal into a failure.
    """
    route = getattr(request.resolver_match, "route", "")
    method = request.method if request.method in METHODS else "OTHER"
    key = (credential.public_id or credential.user_id, method, route)
    now = time.monotonic()
    line = line_of(request)
    refusal = Refusal(None, method, route, line, now + WINDOW_SECONDS)
    if not _begins(key, refusal, now):
        return
    try:
        refusal.actor = getattr(request, "actor", None) or identify(credential, names)
        for each in (refusal, *_overdue(now)):
            _write(each)
    except DatabaseError:
        logger.exception("A refusal could not be recorded.")


def _begins(key: Key, refusal: Refusal, now: float) -> bool:
    """Tell whether this is the first of its minute; else count it."""
    with _lock:
        if len(_seen) > MOST_KEYS:
            _seen.clear()
        before = _seen.get(key)
        if before is not None and now < before.until:
            before.repeated += 1
            return False
        if before is not None:
            refusal.repeated = before.repeated
        _seen[key] = refusal
    return True


def _overdue(now: float) -> Iterator[Refusal]:
    """Yield what was counted in a minute that is over, and forget it."""
    with _lock:
        over = [key for key, each in _seen.items() if each.until < now]
        due = [key for key in over if _seen[key].repeated][:MOST_OVERDUE]
        found = [_seen.pop(key) for key in due]
        for key in over:
            if key in _seen and not _seen[key].repeated:
                del _seen[key]
    yield from found


def _write(refusal: Refusal) -> None:
    """A person who is no member of what was reached for leaves word with nobody's."""
    actor = refusal.actor
    if actor is None:
        return
    organization = str(actor.organization_id or "")
    with transaction.atomic(), binding(actor.organization_id, actor):
        line = refusal.request_line
        sql.bind(DEFAULT_DB_ALIAS, organization, str(actor), line, "")
        record(
            "request.refused",
            outcome="denied",
            method=refusal.method,
            route=refusal.route,
            repeated=refusal.repeated,
        )

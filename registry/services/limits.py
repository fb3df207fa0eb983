"""Room for more: how many of a kind one object may have (settings.OBJECT_LIMITS)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import QuerySet

from registry.refusals import most, no_room


def demand_room(limit: str, owner: str, held: QuerySet[Any], *, more: int = 1) -> None:
    """Raises LimitExceeded; counts no further than the limit."""
    if more > 0:
        holds = held.order_by()[: most(limit) + 1].count()
        demand_fit(limit, owner, holds + more, holds=holds)


def demand_room_for(
    limit: str,
    owner: str,
    held: QuerySet[Any],
    keys: Collection[Any],
    *,
    field: str = "key",
) -> None:
    """Raises LimitExceeded when those of `keys` that `held` lacks do not fit.

    2 statements, 1 when all of them are there, none without keys.
    """
    if keys:
        known = held.filter(**{f"{field}__in": keys}).count()
        demand_room(limit, owner, held, more=len(keys) - known)


def demand_fit(limit: str, owner: str, count: int, *, holds: int = 0) -> None:
    if count > most(limit):
        raise no_room(limit, owner, holds=holds, more=count - holds)

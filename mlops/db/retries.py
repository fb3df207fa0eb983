"""Transactions that lost against another one: nothing of them stays, so they run again.

PostgreSQL ends one of two that wait for each other, or that cannot both be serial. It
is nobody's fault and mostly over the next time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection

# serialization_failure, deadlock_detected
LOST = frozenset({"40001", "40P01"})
TRIES = 3
Answer = TypeVar("Answer")


def retrying(work: Callable[[], Answer]) -> Answer:
    """Run `work`, which opens its own transaction, up to three times.

    Raises OperationalError when the last one has lost, too. Inside of a transaction
    there is one try: what came before cannot be run again from here.
    """
    for _attempt in range(1, TRIES):
        try:
            return work()
        except OperationalError as error:
            if not has_lost(error) or connection.in_atomic_block:
                raise
    return work()


def has_lost(error: Exception) -> bool:
    return sqlstate_of(error) in LOST


def sqlstate_of(error: Exception) -> str:
    """Return PostgreSQL's code for what went wrong, or nothing."""
    return getattr(error.__cause__, "sqlstate", None) or ""

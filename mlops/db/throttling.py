"""The statements of throttles: each is one round trip on the database's clock."""

from __future__ import annotations

from django.conf import settings
from django.db import connection, connections

TAKE = "SELECT granted, wait_seconds FROM throttle_take(%s, %s, %s, %s, %s)"
WAIT = "SELECT throttle_wait(%s, %s, %s)"
FORGET = "SELECT throttle_forget(%s)"
SWEEP = "SELECT throttle_sweep()"


def take(
    key: bytes, cost: int, per_second: float, burst: float, owed: int = 0
) -> tuple[int, float]:
    """Return how many of `cost` were granted and, if none, the seconds to wait."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [key, cost, per_second, burst, owed])
        granted, wait_seconds = cursor.fetchone()
    return granted, wait_seconds


def wait(key: bytes, per_second: float, burst: float) -> float:
    with connection.cursor() as cursor:
        cursor.execute(WAIT, [key, per_second, burst])
        return float(cursor.fetchone()[0])


def forget(key: bytes) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(FORGET, [key])
        return bool(cursor.fetchone()[0])


def sweep() -> int:
    """Delete the buckets that are full: a missing row says the same."""
    with connections[settings.ADMIN_ALIAS].cursor() as cursor:
        cursor.execute(SWEEP)
        return int(cursor.fetchone()[0])

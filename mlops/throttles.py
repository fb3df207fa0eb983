"""How often something may be tried, counted for all processes together.

    throttles.take("sign_in", f"{username} {address}")

takes one from the bucket of that name, or raises TooManyRequests with `retry_after`.
`settings.THROTTLES` holds the rates by kind. Call it outside of transactions: it is one
statement that commits by itself, and a rollback around it would give back what it took.
Keys are hashed before they leave the process, so a bucket's row tells nothing of whom
it throttles.
"""

from __future__ import annotations

import hashlib
import threading
import time
from typing import NoReturn

from django.conf import settings

from mlops.db import throttling
from mlops.env import Rate
from mlops.errors import TooManyRequests

# Beyond this many at once the memory starts anew; the database still knows them.
MOST_REMEMBERED = 10_000

_refused: dict[bytes, float] = {}
_lock = threading.Lock()


def take(kind: str, key: str) -> None:
    """Take one, or raise TooManyRequests: one statement, none while still refused."""
    rate, name = rate_of(kind), bucket(kind, key)
    refuse_remembered(name, kind)
    granted, wait = throttling.take(name, 1, rate.per_second, rate.burst)
    if not granted:
        refuse(kind, key, wait)


def check(kind: str, key: str) -> None:
    """Raise TooManyRequests if `take` would; takes nothing and remembers nothing."""
    rate = rate_of(kind)
    wait = throttling.wait(bucket(kind, key), rate.per_second, rate.burst)
    if wait > 0:
        raise TooManyRequests(refusal(kind, wait), retry_after=wait)


def forget(kind: str, key: str) -> bool:
    """Fill the bucket again; tell whether anything had been taken from it.

    Another process that has just refused the key goes on until its wait is over.
    """
    name = bucket(kind, key)
    with _lock:
        _refused.pop(name, None)
    return throttling.forget(name)


def refuse(kind: str, key: str, wait: float) -> NoReturn:
    """Raise TooManyRequests, and have `take` do so unasked until the wait is over."""
    remember(bucket(kind, key), wait)
    raise TooManyRequests(refusal(kind, wait), retry_after=wait)


def rate_of(kind: str) -> Rate:
    rate: Rate = settings.THROTTLES[kind]
    return rate


def bucket(kind: str, key: str) -> bytes:
    return hashlib.sha256(f"{kind}:{key}".encode()).digest()[:16]


def refusal(kind: str, wait: float) -> str:
    retry_after = TooManyRequests(retry_after=wait).retry_after
    return f"Too many requests ({kind.replace('_', ' ')}); wait {retry_after} s."


def refuse_remembered(name: bytes, kind: str) -> None:
    """Raise TooManyRequests without a statement while an earlier wait is not over."""
    until = _refused.get(name)
    if until is None:
        return
    wait = until - time.monotonic()
    if wait > 0:
        raise TooManyRequests(refusal(kind, wait), retry_after=wait)
    with _lock:
        _refused.pop(name, None)


def remember(name: bytes, wait: float) -> None:
    with _lock:
        if len(_refused) >= MOST_REMEMBERED:
            _refused.clear()
        _refused[name] = time.monotonic() + wait

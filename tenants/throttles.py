"""Request rates of tokens and organizations, over all processes together.

A hot request is one statement and stays it: each process leases requests from the
shared bucket by the chunk and spends them in memory. The first chunk of a bucket that
is new to a process is on credit, paid for with the next lease, so a lone request costs
no statement more. What is admitted beyond the rate is bounded: for each process, one
chunk on credit and one that it still holds. A refusal is remembered until its time.

Tokens are known here by the digest of the whole token: who knows but its public id
cannot spend the allowance of its holder. Buckets are opened by requests that were let
in, so what strangers invent takes no memory.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from mlops import throttles
from mlops.db import throttling
from mlops.errors import TooManyRequests
from tenants import sql
from tenants.authentication import Credential

TOKEN, ORGANIZATION = "token", "organization"
MOST_BUCKETS = 20_000
# Of a bucket's burst; in requests no more than the second.
CHUNK_SHARE, LARGEST_CHUNK = 8, 250
# A token's requests before a hot route asks whose organization they count against.
CREDIT = 25


@dataclass(slots=True)
class Bucket:
    """What this process may still spend, and what it has spent without asking."""

    left: int
    owed: int
    refused_until: float = 0.0


@dataclass(slots=True)
class Holder:
    """Whose organization a credential spends from, once it is known."""

    organization: str = ""
    used: int = 0


Value = TypeVar("Value")


class Recent(Generic[Value]):
    """A bounded memory that forgets what was asked for least recently."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[str, Value] = OrderedDict()

    def get(self, key: str) -> Value | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def keep(self, key: str, value: Value) -> Value:
        """Return what is kept under the key: the first value wins."""
        kept = self._values.setdefault(key, value)
        if len(self._values) > self.most:
            self._values.popitem(last=False)
        return kept

    def clear(self) -> None:
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)


_buckets: Recent[Bucket] = Recent(MOST_BUCKETS)
_holders: Recent[Holder] = Recent(MOST_BUCKETS)
_lock = threading.Lock()


def spend(credential: Credential, *, only_organization: bool) -> None:
    """Raise TooManyRequests for a request that is over its rate, before any work.

    No statement, but for one lease a chunk. One training loop uses one token and runs
    at hundreds a second, so MLflow's protocol and the ingest of points count against
    the organization alone. A person's session has a bucket of its own everywhere.
    """
    key = key_of(credential)
    if credential.user_id or not only_organization:
        _spend(TOKEN, key)
    if organization := _organization_of(key, credential):
        _spend(ORGANIZATION, organization)


def admitted(
    credential: Credential, organization: UUID | None, *, only_organization: bool
) -> None:
    """Open the buckets of a request that was let in, if they are new to us.

    A hot route does not know the organization; `spend` learns it after some requests.
    """
    key = key_of(credential)
    if credential.user_id or not only_organization:
        _open(TOKEN, key)
    with _lock:
        holder = _holders.get(key) or _holders.keep(key, Holder())
        if holder.organization:
            return
        holder.used += 1
        holder.organization = str(organization or "")
    if organization:
        _open(ORGANIZATION, str(organization))


def forget_all() -> None:
    with _lock:
        _buckets.clear()
        _holders.clear()


def key_of(credential: Credential) -> str:
    return (
        credential.digest.hex() if credential.digest else f"user {credential.user_id}"
    )


def chunk_of(kind: str) -> int:
    share = throttles.rate_of(kind).burst // CHUNK_SHARE
    return max(1, min(LARGEST_CHUNK, share))


def _organization_of(key: str, credential: Credential) -> str:
    with _lock:
        holder = _holders.get(key)
    if holder is None or holder.organization or holder.used < CREDIT:
        return holder.organization if holder else ""
    if credential.user_id:  # of no one organization
        return ""
    found = sql.token_organization(credential.public_id, credential.digest)
    if found:
        holder.organization = str(found)
        _open(ORGANIZATION, holder.organization, spent=0, owed=holder.used)
    return holder.organization


def _open(kind: str, key: str, *, spent: int = 1, owed: int = 0) -> None:
    """Begin with a chunk on credit; `spent` of it is gone with this request."""
    chunk, name = chunk_of(kind), f"{kind} {key}"
    with _lock:
        bucket = _buckets.get(name)
        if bucket is None:
            bucket = _buckets.keep(name, Bucket(left=chunk - spent, owed=chunk))
        bucket.owed += owed


def _spend(kind: str, key: str) -> None:
    with _lock:
        bucket = _buckets.get(f"{kind} {key}")
        if bucket is None:
            return
        if bucket.left > 0:
            bucket.left -= 1
            return
        wait = bucket.refused_until - time.monotonic()
        if wait > 0:
            raise TooManyRequests(_refusal(kind), retry_after=wait)
        owed, bucket.owed = bucket.owed, 0
    _lease(kind, key, bucket, owed)


def _lease(kind: str, key: str, bucket: Bucket, owed: int) -> None:
    rate, name = throttles.rate_of(kind), throttles.bucket(kind, key)
    granted, wait = throttling.take(name, chunk_of(kind), *rate, owed)
    with _lock:
        if granted:
            bucket.left += granted - 1
            return
        bucket.refused_until = time.monotonic() + wait
    raise TooManyRequests(_refusal(kind), retry_after=wait)


def _refusal(kind: str) -> str:
    per_second, burst = throttles.rate_of(kind)
    return (
        f"Too many requests of this {kind}: it may send {per_second:g} per second,"
        f" and {burst} at once."
    )

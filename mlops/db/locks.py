"""Locks for schema changes: give up early and try again, so that nobody queues behind.

A statement that waits for a strong lock makes everyone wait who comes after it, so it
may wait 100 ms at first, and up to a second only after many tries. The locks that
belong to a session need a direct connection: behind PgBouncer they would be lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from mlops.errors import Unavailable

Result = TypeVar("Result")

# Held by whatever changes the schema: migrations and partitions.
SCHEMA = "schema"

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK_DETECTED = "40P01"


@dataclass(frozen=True, slots=True)
class Ladder:
    """How long each try may wait for a lock, in even steps from first to last."""

    first_ms: int = 100
    last_ms: int = 1000
    tries: int = 20

    def timeouts_ms(self) -> list[int]:
        rise = (self.last_ms - self.first_ms) / max(self.tries - 1, 1)
        return [round(self.first_ms + rise * step) for step in range(self.tries)]


LADDER = Ladder()


def climb(attempt: Callable[[int], Result], *, ladder: Ladder = LADDER) -> Result:
    """Call `attempt` with the milliseconds it may wait for a lock until it succeeds.

    An attempt that met a lock is taken back whole before the next, so it must be one
    transaction or one statement. Raises Unavailable when the last one met a lock too.
    """
    refusal: OperationalError | None = None
    for timeout_ms in ladder.timeouts_ms():
        if refusal is not None:
            time.sleep(timeout_ms * random.uniform(0.5, 1.5) / 1000)
        try:
            return attempt(timeout_ms)
        except OperationalError as error:
            if not was_locked_out(error):
                raise
            refusal = error
    raise Unavailable(
        f"A lock was not free in {ladder.tries} tries of up to {ladder.last_ms} ms; "
        "end the transaction that holds it (manage.py locks) or try again."
    ) from refusal


def run_in_transaction(
    connection: BaseDatabaseWrapper,
    statements: Sequence[str],
    *,
    role: str = "",
    ladder: Ladder = LADDER,
) -> None:
    """Run all statements as `role` in one transaction, climbing the ladder."""

    def attempt(timeout_ms: int) -> None:
        with (
            transaction.atomic(using=connection.alias),
            connection.cursor() as cursor,
            _local_settings(cursor, lock_timeout=f"{timeout_ms}ms", role=role),
        ):
            for statement in statements:
                cursor.execute(statement)

    climb(attempt, ladder=ladder)


def run_outside_transaction(
    connection: BaseDatabaseWrapper,
    statement: Callable[[], str],
    *,
    role: str = "",
    ladder: Ladder = LADDER,
) -> None:
    """Run what refuses a transaction, asking again before each try what is to be run.

    CONCURRENTLY commits half-way, so what a second try has to say may differ.
    """

    def attempt(timeout_ms: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {timeout_ms}")
            if role:
                cursor.execute(f"SET ROLE {connection.ops.quote_name(role)}")
            try:
                cursor.execute(statement())
            finally:
                cursor.execute("RESET ROLE")
                cursor.execute("RESET lock_timeout")

    climb(attempt, ladder=ladder)


@contextmanager
def advisory_lock(
    connection: BaseDatabaseWrapper, name: str, *, wait_s: float = 0
) -> Iterator[None]:
    """Hold the lock called `name` until the block, or else the session, ends.

    Raises Unavailable when another session still holds it after `wait_s`. It asks
    again and again instead of waiting inside PostgreSQL, since a waiting statement
    keeps its snapshot, for which the holder's CONCURRENTLY might wait in turn.
    """
    deadline = time.monotonic() + wait_s
    while not _call(connection, "pg_try_advisory_lock", name):
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"Another process holds the lock {name!r}; wait until it has finished."
            )
        time.sleep(random.uniform(0.05, 0.15))
    try:
        yield
    finally:
        _release(connection, name)


@contextmanager
def lock_beside_pool(alias: str, name: str) -> Iterator[None]:
    """Hold the lock called `name` for work of many transactions, as a session does.

    The session is of its own, so that the work keeps no connection from others. It ends
    with its process: whoever is killed holds nothing. Raises Unavailable when another
    session holds it.
    """
    given = connections[alias]
    options = {k: v for k, v in given.settings_dict["OPTIONS"].items() if k != "pool"}
    session = type(given)({**given.settings_dict, "OPTIONS": options}, alias)
    # An answer may be ended by another thread than began it.
    session.inc_thread_sharing()
    try:
        with advisory_lock(session, name):
            yield
    finally:
        session.close()


def was_locked_out(error: DatabaseError) -> bool:
    """Tell whether a statement failed because of another session's lock only."""
    state = getattr(error.__cause__, "sqlstate", None)
    return state in {LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED}


def advisory_key(name: str) -> int:
    """Number a lock's name; PostgreSQL knows advisory locks by 64 bits only."""
    digest = blake2b(f"mlops:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _call(connection: BaseDatabaseWrapper, function: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [advisory_key(name)])
        (answer,) = cursor.fetchone()
    return bool(answer)


def _release(connection: BaseDatabaseWrapper, name: str) -> None:
    """Unlock, or end the session where it can no longer be asked to."""
    try:
        _call(connection, "pg_advisory_unlock", name)
    except DatabaseError:
        connection.close()


@contextmanager
def _local_settings(cursor: CursorWrapper, **settings: str) -> Iterator[None]:
    """Set for this transaction, and set back: a savepoint's end would not do that."""
    wanted = {name: value for name, value in settings.items() if value}
    before = {name: _setting(cursor, name) for name in wanted}
    for name, value in wanted.items():
        _set_locally(cursor, name, value)
    yield
    for name, value in before.items():
        _set_locally(cursor, name, value)


def _setting(cursor: CursorWrapper, name: str) -> str:
    cursor.execute("SELECT current_setting(%s)", [name])
    return str(cursor.fetchone()[0])


def _set_locally(cursor: CursorWrapper, name: str, value: str) -> None:
    cursor.execute("SELECT set_config(%s, %s, true)", [name, value])

"""Monthly partitions of tables whose `id` is a UUIDv7: kept ahead, then retired.

An app states a Policy in its own `partitions.py`. A plan reads the catalog and changes
nothing; applying it takes one transaction a step. Only what carries our mark in its
comment is ever detached or dropped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from uuid import UUID

from django.apps import apps
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import module_has_submodule

from mlops.db import locks
from mlops.db.uuid7 import floor, uuid7_time
from mlops.errors import Conflict, DomainError

CREATE, DETACH, DROP = "create", "detach", "drop"
ACTIONS = (CREATE, DETACH, DROP)

# Another session may hold the lock for a whole ladder, but not for a whole migration.
LOCK_WAIT_S = 30

# Months only grow: without this the first vacuum, and so the first index-only scan,
# waits until a fifth of the table is new.
STORAGE = "autovacuum_vacuum_insert_scale_factor = 0.02"

BOUND = r"FOR VALUES FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long before its time a month of `table` exists, and how long after."""

    table: str
    # Three months ahead are only 89 days on 31 January; the alarm rings at 90.
    ahead_months: int = 4
    keep_months: int = 14
    owner: str = "app_owner"
    # Rows may arrive late by this much; older months are made only to close a gap.
    behind_months: int = 1
    drop_after: timedelta = timedelta(days=7)
    # Says why this month must stay although its time is over; empty lets it go.
    held: Callable[[BaseDatabaseWrapper, datetime, datetime], str] | None = None
    # What else makes a month, such as triggers of statements; {partition} is its name.
    also: tuple[str, ...] = ()
    # What a month's drop leaves behind, in one transaction with it.
    dropping: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # The names go into statements as they are.
        for name in (self.table, self.owner):
            if not re.fullmatch(r"[a-z_][a-z0-9_]{0,54}", name):
                raise ValueError(f"{name!r} is no plain name in lower case.")
        if self.ahead_months < 1:
            raise ValueError(f"ahead_months={self.ahead_months} must be at least 1.")
        if self.keep_months < self.behind_months:
            raise ValueError(
                f"keep_months={self.keep_months} is less than "
                f"behind_months={self.behind_months}: a new month would go at once."
            )

    def name_of(self, start: datetime) -> str:
        return f"{self.table}_{start:%Y_%m}"

    def bounds_of(self, start: datetime) -> tuple[UUID, UUID]:
        return floor(start), floor(month_start(start, 1))

    def month_of(self, partition: str) -> datetime | None:
        found = re.fullmatch(rf"{self.table}_(\d{{4}})_(0[1-9]|1[0-2])", partition)
        return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC) if found else None

    @property
    def mark(self) -> str:
        return f"mlops: monthly partition of {self.table}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A table of the catalog that is, was or calls itself a month of its parent."""

    name: str
    attached: bool
    pending: bool
    bound: str
    comment: str
    owner: str
    rows: int
    size_bytes: int

    @property
    def bounds(self) -> tuple[UUID, UUID] | None:
        found = re.fullmatch(BOUND, self.bound)
        return (UUID(found[1]), UUID(found[2])) if found else None

    @property
    def detached_at(self) -> datetime | None:
        """When it was let go; the mark is written just before, so never too late."""
        found = re.search(r"; detached (\S+)$", self.comment)
        return datetime.fromisoformat(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Step:
    """One change, whole or not at all: what `plan` prints and `apply` runs."""

    action: str
    table: str
    partition: str
    start: datetime
    end: datetime
    statements: tuple[str, ...]
    lock: str
    owner: str
    state: str = "planned"
    took_ms: int = 0
    error: str = ""


def policies() -> list[Policy]:
    """Collect what the installed apps state as POLICIES in their `partitions`."""
    found: list[Policy] = []
    for app in apps.get_app_configs():
        if app.module and module_has_submodule(app.module, "partitions"):
            module = import_module(f"{app.name}.partitions")
            found += getattr(module, "POLICIES", [])
    return found


def month_start(moment: datetime, months: int = 0) -> datetime:
    """Return the first moment, in UTC, of the month so many months away."""
    moment = moment.astimezone(UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def months_between(first: datetime, last: datetime) -> Iterator[datetime]:
    while first <= last:
        yield first
        first = month_start(first, 1)


# Reading the catalog

PARTITIONS = """
SELECT c.relname, i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false),
       coalesce(pg_get_expr(c.relpartbound, c.oid), ''),
       coalesce(obj_description(c.oid, 'pg_class'), ''),
       pg_get_userbyid(c.relowner), greatest(c.reltuples, 0)::bigint,
       coalesce(pg_relation_size(c.oid), 0)
FROM pg_class parent
JOIN pg_class c ON c.relnamespace = parent.relnamespace AND c.relkind IN ('r', 'p')
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = parent.oid
WHERE parent.oid = to_regclass(%(table)s)
  AND (i.inhrelid IS NOT NULL OR c.relname ~ %(months)s)
ORDER BY c.relname
"""


def partitions_of(connection: BaseDatabaseWrapper, policy: Policy) -> list[Partition]:
    """Read every partition, and every loose table that bears a month's name."""
    months = rf"^{policy.table}_\d{{4}}_\d{{2}}$"
    rows = _rows(connection, PARTITIONS, table=policy.table, months=months)
    return [Partition(*row) for row in rows]


def _rows(
    connection: BaseDatabaseWrapper, query: str, **parameters: str
) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


# Planning


def plan(connection: BaseDatabaseWrapper, policy: Policy, now: datetime) -> list[Step]:
    """Work out, without changing anything, what `policy` still asks for."""
    found = partitions_of(connection, policy)
    return [
        *_creations(found, policy, now),
        *_detachments(connection, found, policy, now),
        *_drops(connection, found, policy, now),
    ]


def _creations(
    found: Sequence[Partition], policy: Policy, now: datetime
) -> Iterator[Step]:
    """Months from the oldest that exists (to close gaps) to the last one ahead."""
    taken = {partition.name for partition in found}
    covered = [part.bounds for part in found if part.attached and part.bounds]
    oldest = min((uuid7_time(lower) for lower, _ in covered), default=now)
    first = min(month_start(now, -policy.behind_months), month_start(oldest))
    first = max(first, month_start(now, -policy.keep_months))
    for start in months_between(first, month_start(now, policy.ahead_months)):
        lower, upper = policy.bounds_of(start)
        is_free = all(upper <= low or high <= lower for low, high in covered)
        if is_free and policy.name_of(start) not in taken:
            yield _create(policy, start)


def _detachments(
    connection: BaseDatabaseWrapper,
    found: Sequence[Partition],
    policy: Policy,
    now: datetime,
) -> Iterator[Step]:
    oldest_kept = month_start(now, -policy.keep_months)
    for partition in found:
        start = policy.month_of(partition.name)
        if start is None or not is_ours(partition, policy) or not partition.attached:
            continue
        if start < oldest_kept or partition.pending:
            step = _detach(policy, start, now, pending=partition.pending)
            yield _unless_held(connection, policy, step)


def _drops(
    connection: BaseDatabaseWrapper,
    found: Sequence[Partition],
    policy: Policy,
    now: datetime,
) -> Iterator[Step]:
    for partition in found:
        start = policy.month_of(partition.name)
        if start and is_droppable(partition, policy, now):
            yield _unless_held(connection, policy, _drop(policy, start))


def _unless_held(connection: BaseDatabaseWrapper, policy: Policy, step: Step) -> Step:
    reason = policy.held(connection, step.start, step.end) if policy.held else ""
    return replace(step, state="held", error=reason) if reason else step


def is_ours(partition: Partition, policy: Policy) -> bool:
    return partition.comment.startswith(policy.mark)


def is_droppable(partition: Partition, policy: Policy, now: datetime) -> bool:
    since = partition.detached_at
    return (
        is_ours(partition, policy)
        and not partition.attached
        and since is not None
        and now - since >= policy.drop_after
    )


def _create(policy: Policy, start: datetime) -> Step:
    name = policy.name_of(start)
    lower, upper = policy.bounds_of(start)
    return _step(
        CREATE,
        policy,
        start,
        f"CREATE TABLE {name} (LIKE {policy.table} INCLUDING ALL) WITH ({STORAGE})",
        # ATTACH believes this check instead of reading the table.
        f"ALTER TABLE {name} ADD CONSTRAINT {name}_bounds"
        f" CHECK (id IS NOT NULL AND id >= '{lower}' AND id < '{upper}')",
        f"COMMENT ON TABLE {name} IS '{policy.mark}'",
        *(statement.format(partition=name) for statement in policy.also),
        # CREATE … PARTITION OF would lock the parent against everyone; this does not.
        f"ALTER TABLE {policy.table} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{lower}') TO ('{upper}')",
        f"ALTER TABLE {name} DROP CONSTRAINT {name}_bounds",
        lock=f"SHARE UPDATE EXCLUSIVE on {policy.table}",
    )


def _detach(policy: Policy, start: datetime, now: datetime, *, pending: bool) -> Step:
    name = policy.name_of(start)
    moment = now.astimezone(UTC).isoformat(timespec="seconds")
    how = "FINALIZE" if pending else "CONCURRENTLY"
    return _step(
        DETACH,
        policy,
        start,
        f"COMMENT ON TABLE {name} IS '{policy.mark}; detached {moment}'",
        f"ALTER TABLE {policy.table} DETACH PARTITION {name} {how}",
        lock=f"SHARE UPDATE EXCLUSIVE on {policy.table}, then ACCESS EXCLUSIVE on"
        f" {name} once no transaction reads it",
    )


def _drop(policy: Policy, start: datetime) -> Step:
    name = policy.name_of(start)
    return _step(
        DROP,
        policy,
        start,
        *(statement.format(partition=name) for statement in policy.dropping),
        f"DROP TABLE {name}",
        lock=f"ACCESS EXCLUSIVE on {name}",
    )


def _step(
    action: str, policy: Policy, start: datetime, *statements: str, lock: str
) -> Step:
    return Step(
        action,
        policy.table,
        policy.name_of(start),
        start,
        month_start(start, 1),
        statements,
        lock,
        policy.owner,
    )


# Applying


def apply(
    connection: BaseDatabaseWrapper,
    steps: Iterable[Step],
    *,
    ladder: locks.Ladder = locks.LADDER,
    wait_s: float = LOCK_WAIT_S,
    report: Callable[[Step], None] = lambda step: None,
) -> list[Step]:
    """Take each planned step by itself; return them as done, or failed and why.

    A step that fails leaves nothing behind and does not keep the next from its try.
    Raises Unavailable when another process changes the schema for longer than `wait_s`.
    """
    outcomes = []
    with locks.advisory_lock(connection, locks.SCHEMA, wait_s=wait_s):
        for step in steps:
            outcome = step
            if step.state == "planned":
                outcome = _take(connection, step, ladder)
            report(outcome)
            outcomes.append(outcome)
    return outcomes


def _take(connection: BaseDatabaseWrapper, step: Step, ladder: locks.Ladder) -> Step:
    began = time.monotonic()
    state, reason = "done", ""
    try:
        _RUN[step.action](connection, step, ladder)
    except (DatabaseError, DomainError) as error:
        state, reason = "failed", str(error).strip()
    took_ms = round((time.monotonic() - began) * 1000)
    return replace(step, state=state, error=reason, took_ms=took_ms)


def _run_create(
    connection: BaseDatabaseWrapper, step: Step, ladder: locks.Ladder
) -> None:
    locks.run_in_transaction(
        connection, step.statements, role=step.owner, ladder=ladder
    )


IS_PENDING = """
SELECT coalesce(bool_or(inhdetachpending), false)
FROM pg_inherits WHERE inhrelid = to_regclass(%(partition)s)
"""


def _run_detach(
    connection: BaseDatabaseWrapper, step: Step, ladder: locks.Ladder
) -> None:
    """Mark first: a table found detached has then always been marked before."""
    comment, detach = step.statements

    def statement() -> str:
        # A try that ran into a lock half-way leaves the partition pending.
        ((is_pending,),) = _rows(connection, IS_PENDING, partition=step.partition)
        return detach.replace("CONCURRENTLY", "FINALIZE") if is_pending else detach

    locks.run_in_transaction(connection, [comment], role=step.owner, ladder=ladder)
    locks.run_outside_transaction(connection, statement, role=step.owner, ladder=ladder)


IS_LOOSE = """
SELECT NOT c.relispartition AND obj_description(c.oid, 'pg_class') LIKE %(mark)s
FROM pg_class c WHERE c.oid = to_regclass(%(partition)s)
"""


def _run_drop(
    connection: BaseDatabaseWrapper, step: Step, ladder: locks.Ladder
) -> None:
    """Look again before dropping: since the plan it may have been attached again."""
    mark = "mlops: monthly partition of %; detached %"
    rows = _rows(connection, IS_LOOSE, partition=step.partition, mark=mark)
    if rows != [(True,)]:
        raise Conflict(
            f"{step.partition} is no longer a detached partition; plan anew."
        )
    locks.run_in_transaction(
        connection, step.statements, role=step.owner, ladder=ladder
    )


_RUN = {CREATE: _run_create, DETACH: _run_detach, DROP: _run_drop}

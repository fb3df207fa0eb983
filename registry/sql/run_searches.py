"""A page of runs that a filter found or an order asked for: two statements.

The first admits the caller and looks up the experiments; with their keys at hand the
second is planned for what is in them. Both run in one transaction, bound to the tenant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.db.models import QuerySet

from registry.sql.answers import admitted, read
from tenants.callers import Caller
from tenants.context import Actor, binding

ENTER = admitted("""
    registry_searched_experiments(
        caller.organization_id, caller.project_id, %(experiments)s::bigint[])
""")

# Not the ORM: the database writes the runs as JSON, from documents where it has them.
# `rows` come in order; the last of their columns is the run. One more than asked for
# tells whether there is a next page, which begins behind the place in the first line.
PAGE = """
WITH found AS MATERIALIZED ({rows}),
     page AS (SELECT found.*, row_number() OVER () AS place FROM found)
SELECT concat(
    (SELECT to_json(ARRAY[{texts}]) FROM page
     WHERE place = %s AND EXISTS (SELECT FROM page WHERE place > %s)),
    E'\\n{{',
    '"runs":[' || registry_run_documents(
        %s, ARRAY(SELECT {run} FROM page WHERE place <= %s ORDER BY place)) || ']',
    '}}')
"""


@dataclass(frozen=True, slots=True)
class Searched:
    """Where a search looks, by keys."""

    organization_id: UUID
    project_id: UUID
    experiments: list[UUID]


@dataclass(frozen=True, slots=True)
class Key:
    """A column of an order: what is missing comes last both ways, before it NaN."""

    column: str
    descends: bool
    is_number: bool


@contextmanager
def searching(caller: Caller, numbers: Sequence[int]) -> Iterator[Searched]:
    """Open a transaction that is bound to the caller's tenant.

    Numbers of no experiment of the project are passed over. Raises what the caller is
    refused with.
    """
    with transaction.atomic():
        parameters = {**caller.parameters, "experiments": list(numbers)}
        answer = orjson.loads(read(_text(ENTER, parameters), caller))
        searched = Searched(
            UUID(answer["organization"]),
            UUID(answer["project"]),
            [UUID(key) for key in answer["experiments"]],
        )
        with binding(searched.organization_id, _reader(caller, searched)):
            yield searched


def page_of_runs(statement: str, parameters: Sequence[Any]) -> tuple[bytes, list[Any]]:
    """Return a page as JSON and, if more follows, the place where it ended."""
    place, _, body = _text(statement, parameters).partition(b"\n")
    return body, orjson.loads(place) if place else []


def statement_of(
    parts: Sequence[QuerySet],
    keys: Sequence[Key],
    *,
    searched: Searched,
    limit: int,
    in_turn: bool = False,
) -> tuple[str, list[Any]]:
    """Compose the statement of a page, and its parameters.

    Each part is ordered by the keys and yields their columns, the run's last; the page
    is what comes first of all parts together. `in_turn`: all of a part comes before all
    of the next one, which is not looked at when the page is full.
    """
    rows, parameters = _joined(parts, () if in_turn else keys, limit + 1)
    statement = PAGE.format(
        rows=rows,
        texts=", ".join(f"{key.column}::text" for key in keys),
        run=keys[-1].column,
    )
    return statement, [*parameters, limit, limit, searched.organization_id, limit]


def _joined(
    parts: Sequence[QuerySet], keys: Sequence[Key], limit: int
) -> tuple[str, list[Any]]:
    """Join the parts, each cut by itself, so that it is read in its own order.

    Without keys they follow each other: so PostgreSQL appends, as long as no worker
    helps it, and ENTER has sent the workers away.
    """
    queries = [part[:limit].query.sql_with_params() for part in parts]
    parameters = [value for _, values in queries for value in values]
    if len(queries) == 1:
        return queries[0][0], parameters
    rows = " UNION ALL ".join(f"({text})" for text, _ in queries)
    order = ", ".join(_ordered(key) for key in keys)
    ordered = f" ORDER BY {order}" if order else ""
    return f"SELECT * FROM ({rows}) AS part{ordered} LIMIT {limit}", parameters


def _ordered(key: Key) -> str:
    column = key.column
    ranks = [f"{column} IS NULL", *[f"{column} = 'NaN'"] * key.is_number]
    return ", ".join([*ranks, f"{column} DESC" if key.descends else column])


def _text(statement: str, parameters: Mapping[str, Any] | Sequence[Any]) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        (answer,) = cursor.fetchone()
    return str(answer).encode()


def _reader(caller: Caller, searched: Searched) -> Actor:
    """Say who reads. Nothing is written in its name, so its roles stay with the
    database, which has weighed them."""
    return Actor(
        kind="user" if caller.credential.user_id else "service",
        id=caller.credential.user_id,
        token=caller.credential.public_id or "",
        organization_id=searched.organization_id,
        project_id=searched.project_id,
    )

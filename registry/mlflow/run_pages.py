"""Pages of runs by a filter or an order of the client's own.

To read a text and compose its statement takes as long as the database takes to answer
it. Charts and dashboards ask the same again and again, so what was composed for a first
page is kept, with stand-ins for whose runs it searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID, uuid4

from django.db.models import QuerySet

from registry.models import Run
from registry.refusals import invalid_page_token
from registry.search.bands import bands_of, has_bands
from registry.search.fields import RUNS, Kind
from registry.search.searches import Search
from registry.sql.run_searches import (
    Key,
    Searched,
    page_of_runs,
    searching,
    statement_of,
)
from tenants.callers import Caller
from tenants.context import Actor, binding

# Life by life, as the indexes of runs are.
VIEWS = {"active": (True,), "deleted": (False,), "all": (True, False)}


# What is kept: texts of people and dashboards, not what a program writes by the page.
KEPT, MAX_KEPT_TEXT, MAX_KEPT_EXPERIMENTS = 256, 1000, 10


@dataclass(frozen=True)
class Asked:
    """A search as it was written."""

    text: str
    order: tuple[str, ...]

    @classmethod
    def of(cls, text: str, order: Sequence[str]) -> Asked:
        asked = cls(text, tuple(order))
        return _kept(asked) if asked.is_short else asked

    @cached_property
    def search(self) -> Search:
        """Raises InvalidInput that says what is wrong, and at which character."""
        return Search.of(RUNS, self.text, self.order)

    @property
    def is_short(self) -> bool:
        return len(self.text) + sum(map(len, self.order)) <= MAX_KEPT_TEXT

    def request(self, numbers: Sequence[int], view: str) -> tuple[Any, ...]:
        """Return what a page token belongs to. All plain searches are one, however each
        writes the order that is the default anyway."""
        asked = () if self.search.is_plain else (self.text, self.order)
        return ("runs/search", numbers, view, *asked)

    def found(
        self,
        caller: Caller,
        numbers: Sequence[int],
        *,
        view: str,
        limit: int,
        after: Sequence[Any] = (),
    ) -> tuple[bytes, list[Any]]:
        """Return a page as JSON, and its end; `after` is the end of another.

        A place names its project, too: a token is worth nothing in another one.
        """
        with searching(caller, numbers) as searched:
            project, *place = after or [searched.project_id.hex]
            if project != searched.project_id.hex:
                raise invalid_page_token()
            if not searched.experiments:
                return b"{}", []
            statement = self.statement(searched, view, limit, place)
            body, end = page_of_runs(*statement)
        return body, [searched.project_id.hex, *end] if end else []

    def statement(
        self, searched: Searched, view: str, limit: int, place: Sequence[Any] = ()
    ) -> tuple[str, list[Any]]:
        count = len(searched.experiments)
        if self.is_short and count <= MAX_KEPT_EXPERIMENTS and not place:
            return _first_page(self, view, limit, count).by(searched)
        return composed(self.search, searched, view, limit, place)


@lru_cache(maxsize=KEPT)
def _kept(asked: Asked) -> Asked:
    """Return the first one of all that are alike: it has been read already."""
    return asked


@dataclass(frozen=True, slots=True)
class Composed:
    """A statement whose parameters name nobody's experiments yet."""

    statement: str
    parameters: list[Any]
    stand_ins: list[UUID]

    def by(self, searched: Searched) -> tuple[str, list[Any]]:
        keys = dict(zip(self.stand_ins, _keys_of(searched), strict=True))
        return self.statement, [_with_keys(each, keys) for each in self.parameters]


@lru_cache(maxsize=KEPT)
def _first_page(asked: Asked, view: str, limit: int, count: int) -> Composed:
    """Nobody can name a stand-in in a filter: they are drawn here, and told to none."""
    nobody = Searched(uuid4(), uuid4(), [uuid4() for _ in range(count)])
    actor = Actor(kind="service", organization_id=nobody.organization_id)
    with binding(nobody.organization_id, actor):
        statement, parameters = composed(asked.search, nobody, view, limit)
    return Composed(statement, parameters, _keys_of(nobody))


def _keys_of(searched: Searched) -> list[UUID]:
    return [searched.organization_id, searched.project_id, *searched.experiments]


def _with_keys(parameter: Any, keys: dict[UUID, UUID]) -> Any:
    if isinstance(parameter, list):
        return [_with_keys(each, keys) for each in parameter]
    return keys.get(parameter, parameter) if isinstance(parameter, UUID) else parameter


def composed(
    search: Search,
    searched: Searched,
    view: str,
    limit: int,
    place: Sequence[Any] = (),
) -> tuple[str, list[Any]]:
    """Compose the statement of a page in the context of the organization searched."""
    parts, in_turn = parts_of(search, searched, view, place)
    return statement_of(
        parts, keys_of(search), searched=searched, limit=limit, in_turn=in_turn
    )


def parts_of(
    search: Search, searched: Searched, view: str, place: Sequence[Any]
) -> tuple[list[QuerySet], bool]:
    """Return what makes up the page, and whether it comes part by part."""
    within = searched.experiments
    lives = [rows_of(searched, is_alive=life) for life in VIEWS[view]]
    if len(lives) == 1 and has_bands(search, within):
        parts = bands_of(search, lives[0], within=within, after=place)
        return [part.values(*search.columns) for part in parts], True
    parts = [search.apply(rows, within=within, after=place) for rows in lives]
    return [part.values(*search.columns) for part in parts], False


def rows_of(searched: Searched, *, is_alive: bool) -> QuerySet:
    """Not restricted to the project: its experiments say it, and better. The project as
    well would have the planner read all its runs to find these."""
    return Run.objects.with_deleted().filter(
        experiment_id__in=searched.experiments, deleted_at__isnull=is_alive
    )


def keys_of(search: Search) -> list[Key]:
    return [
        Key(column, key.descends, key.field.kind is Kind.NUMBER)
        for column, key in zip(search.columns, search.order, strict=True)
    ]

"""Pages of runs by a filter or an order of the client's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from registry.models import Run
from registry.refusals import invalid_page_token
from registry.search.bands import bands_of, has_bands
from registry.search.fields import Kind
from registry.search.searches import Search
from registry.sql.run_searches import Key, Searched, page_of_runs, searching
from tenants.callers import Caller

# Life by life, as the indexes of runs are.
VIEWS = {"active": (True,), "deleted": (False,), "all": (True, False)}


def request_of(
    search: Search, numbers: Sequence[int], view: str, text: str, order: Sequence[str]
) -> tuple[Any, ...]:
    """Return what a page token belongs to. All plain searches are one, however each
    writes the order that is the default anyway."""
    asked = () if search.is_plain else (text, order)
    return ("runs/search", numbers, view, *asked)


def found(
    search: Search,
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
        parts, in_turn = parts_of(search, searched, view, place)
        body, end = page_of_runs(
            parts, keys_of(search), searched=searched, limit=limit, in_turn=in_turn
        )
    return body, [searched.project_id.hex, *end] if end else []


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
    return Run.objects.filter(
        experiment_id__in=searched.experiments, deleted_at__isnull=is_alive
    )


def keys_of(search: Search) -> list[Key]:
    return [
        Key(column, key.descends, key.field.kind is Kind.NUMBER)
        for column, key in zip(search.columns, search.order, strict=True)
    ]

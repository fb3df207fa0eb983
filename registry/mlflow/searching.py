"""What all searches of the protocol answer with: a page, and the token of the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlops.errors import InvalidInput
from registry.mlflow import paging
from registry.mlflow.schema import missing, mistyped, read_flag, read_text
from registry.search.clauses import OrderKey, order_by_field, refuse_many
from registry.search.fields import LOGGED_MODELS
from registry.search.searches import Page

MAX_DATASETS = 100


def answer(
    name: str, page: Page, write: Callable[[Any], Any], *request: Any
) -> dict[str, Any]:
    """Write the rows as the list `name`; what is empty is left out."""
    found: dict[str, Any] = {}
    if page.rows:
        found[name] = [write(row) for row in page.rows]
    if page.end:
        found["next_page_token"] = paging.seal(page.end, *request)
    return found


def order_of_models(items: Sequence[Any]) -> list[OrderKey]:
    """Read the order of logged models, which comes as a list of objects."""
    refuse_many(items)
    return [_order_key(item, number) for number, item in enumerate(items)]


def _order_key(item: Any, number: int) -> OrderKey:
    path = f"order_by[{number}]"
    if type(item) is not dict:
        raise mistyped(path, item)
    name = _text(item, "field_name", path)
    if not name:
        raise missing(f"{path}.field_name")
    ascends = item.get("ascending")
    try:
        descends = ascends is not None and not read_flag(ascends)
    except ValueError:
        raise mistyped(f"{path}.ascending", ascends) from None
    dataset = (_text(item, "dataset_name", path), _text(item, "dataset_digest", path))
    return order_by_field(name, descends=descends, dataset=dataset, table=LOGGED_MODELS)


def datasets_of(items: Sequence[Any]) -> list[tuple[str, str]]:
    """Read the datasets that metrics are to be about: names, and maybe digests."""
    if len(items) > MAX_DATASETS:
        raise InvalidInput(
            f"'datasets' names {len(items)} datasets; use at most {MAX_DATASETS}."
        )
    found = []
    for number, item in enumerate(items):
        path = f"datasets[{number}]"
        if type(item) is not dict:
            raise mistyped(path, item)
        name = _text(item, "dataset_name", path)
        if not name:
            raise InvalidInput(
                "`dataset_name` in the `datasets` clause must be specified."
            )
        found.append((name, _text(item, "dataset_digest", path)))
    return found


def _text(item: dict[str, Any], field: str, path: str) -> str:
    value = item.get(field)
    try:
        return "" if value is None else read_text(value)
    except ValueError:
        raise mistyped(f"{path}.{field}", value) from None

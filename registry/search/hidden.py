"""Rows that only those find who ask for them: MLflow keeps prompts among the models."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Q, QuerySet

from registry.search.compiler import children
from registry.search.fields import Table
from registry.search.grammar import Comparison


def hide(
    rows: QuerySet, comparisons: Sequence[Comparison], table: Table
) -> tuple[QuerySet, Sequence[Comparison]]:
    """Leave hidden rows out, unless the filter's first word on their tag wants them.

    Otherwise what the filter says of the tag is done with: no other row has it.
    """
    assert table.hidden_by
    key, value = table.hidden_by
    about = [each for each in comparisons if _names(each, key)]
    if about and _wants(about[0], value):
        return rows, comparisons
    child = table.children["tag"]
    tagged = children(rows, child, key, None).filter(value=value)
    if table.hidden_with == "pk":
        hidden = Q(pk__in=tagged.values(f"{child.parent}_id"))
    else:
        path = table.hidden_with
        hidden = Q((f"{path}__in", tagged.values(f"{child.parent}__{path}")))
    return rows.exclude(hidden), [each for each in comparisons if each not in about]


def _names(comparison: Comparison, key: str) -> bool:
    return comparison.name.noun == "tag" and comparison.name.key == key


def _wants(comparison: Comparison, value: str) -> bool:
    """Whether it says that the tag has the value, or has not its opposite."""
    opposite = "false" if value == "true" else ""
    wanted = {"=": value, "!=": opposite}.get(comparison.operator)
    return wanted is not None and str(comparison.value).lower() == wanted

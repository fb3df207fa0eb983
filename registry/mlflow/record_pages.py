"""Pages of an evaluation dataset's records: so many, and no more than so many bytes."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from registry.models import EvaluationDataset, EvaluationRecord
from registry.refusals import invalid_page_token

# A larger page would be held in memory as a whole.
MAX_PAGE_BYTES = 16 * 1024**2


def page_of_records(
    dataset: EvaluationDataset, *, limit: int, place: list[str]
) -> tuple[list[EvaluationRecord], list[str]]:
    """Return records in the order they came, and the place if more follow.

    2 statements, of which the first reads sizes from the index alone.
    """
    rows = EvaluationRecord.objects.filter(dataset=dataset).order_by("id")
    if place:
        rows = rows.filter(id__gt=read_place(place))
    count, has_more = fitting(rows, limit)
    found = list(rows[:count])
    return found, [found[-1].pk.hex] if found and has_more else []


def fitting(rows: QuerySet, limit: int) -> tuple[int, bool]:
    """Count the first rows that are one page: at least one, if there is any."""
    total = 0
    sizes = list(rows.values_list("size_bytes", flat=True)[: limit + 1])
    for count, size in enumerate(sizes[:limit]):
        total += size
        if count and total > MAX_PAGE_BYTES:
            return count, True
    return min(len(sizes), limit), len(sizes) > limit


def read_place(place: list[str]) -> UUID:
    try:
        (key,) = place
        return UUID(key)
    except (TypeError, ValueError):
        raise invalid_page_token() from None

"""Curves of one run for a page: a few points of each, however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connections

from mlops.telemetry import timed

# Not the ORM: one statement hops along idx_run_metrics_run_name, from each of `points`
# evenly spread steps to the next stored one, instead of reading every point.
SAMPLE = """
WITH ends AS (
    SELECT wanted.name, head.step AS head, tail.step AS tail
    FROM unnest(%(names)s::text[]) AS wanted (name)
    CROSS JOIN LATERAL (
        SELECT step FROM run_metrics m
        WHERE m.experiment_run_id = %(run)s AND m.metric_name = wanted.name
          AND m.organization_id = %(organization)s
        ORDER BY step LIMIT 1) head
    CROSS JOIN LATERAL (
        SELECT step FROM run_metrics m
        WHERE m.experiment_run_id = %(run)s AND m.metric_name = wanted.name
          AND m.organization_id = %(organization)s
        ORDER BY step DESC LIMIT 1) tail
)
SELECT DISTINCT ends.name, point.step, point.value
FROM ends
CROSS JOIN generate_series(0, %(points)s - 1) AS hop
CROSS JOIN LATERAL (
    SELECT step, value FROM run_metrics m
    WHERE m.experiment_run_id = %(run)s AND m.metric_name = ends.name
      AND m.organization_id = %(organization)s
      AND m.step >= (ends.head
          + floor((ends.tail::numeric - ends.head) * hop / (%(points)s - 1)))::bigint
    ORDER BY step LIMIT 1) point
ORDER BY ends.name, point.step
"""

Curve = list[tuple[int, float]]


def sample_curves(
    using: str, organization: UUID, run: UUID, names: Sequence[str], *, points: int
) -> dict[str, Curve]:
    """Return at most `points` of (step, value) per name, first and last step included.

    Names without points are left out. Costs one statement.
    """
    curves: dict[str, Curve] = defaultdict(list)
    arguments: dict[str, Any] = {
        "organization": organization,
        "run": run,
        "names": list(names),
        "points": points,
    }
    with connections[using].cursor() as cursor, timed():
        cursor.execute(SAMPLE, arguments)
        for name, step, value in cursor:
            curves[name].append((step, value))
    return dict(curves)

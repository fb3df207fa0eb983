"""Curves of one run for a page: a few points of each, however many there are.

The sample is that of registry/sql/history.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connections

from mlops.telemetry import timed
from registry.sql.history import ALL_STEPS

# Not the ORM: the sample that MLflow's charts get, of many metrics in one statement.
SAMPLE = """
SELECT wanted.name, point.step, point.value
FROM unnest(%(names)s::text[]) AS wanted (name)
CROSS JOIN LATERAL registry_sample_metric(
    %(organization)s, %(run)s, wanted.name, %(points)s, %(first)s, %(last)s
) WITH ORDINALITY AS point (value, timestamp_ms, step, place)
ORDER BY wanted.name, point.place
"""

Curve = list[tuple[int, float]]


def sample_curves(
    using: str, organization: UUID, run: UUID, names: Sequence[str], *, points: int
) -> dict[str, Curve]:
    """Return at most `points` of (step, value) per name, first and last included.

    Names without points are left out. Costs one statement.
    """
    curves: dict[str, Curve] = defaultdict(list)
    arguments: dict[str, Any] = {
        "organization": organization,
        "run": run,
        "names": list(names),
        "points": points,
        "first": ALL_STEPS[0],
        "last": ALL_STEPS[1],
    }
    with connections[using].cursor() as cursor, timed():
        cursor.execute(SAMPLE, arguments)
        for name, step, value in cursor:
            curves[name].append((step, value))
    return dict(curves)

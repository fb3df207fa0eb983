"""log-metric and log-batch: points, latest values, params and tags in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

from mlops.db.hot import Bigints, Booleans, Floats, Texts, Uuids
from mlops.db.uuid7 import fact_ids
from registry.refusals import most
from registry.sql.answers import admitted, ask, columns_of, run_key
from tenants.callers import Caller

# name, timestamp in milliseconds, step, value
Point = tuple[str, int, int, float]

LOG_METRIC = admitted("""
    registry_log_metric(
        caller.organization_id, caller.project_id, %(run)s,
        %(id)s, %(name)s, %(value)s, %(timestamp)s, %(step)s)
""")
BATCH = """
    registry_log_batch(
        caller.organization_id, caller.project_id, %(run)s,
        %(ids)b, %(names)b, %(values)b, %(timestamps)b, %(steps)b, %(newest)b,
        %(param_ids)b, %(param_keys)b, %(param_values)b,
        %(tag_ids)b, %(tag_keys)b, %(tag_values)b, %(run_name)s,
        %(most_params)s, %(most_tags)s)
"""
LOG_BATCH = admitted(BATCH)
NO_RUN = UUID(int=0)


def log_metric(caller: Caller, run_id: str, point: Point) -> bytes:
    name, timestamp_ms, step, value = point
    run = run_key(run_id)
    parameters = {
        "run": run,
        "id": ids_of(run, [point])[0],
        "name": name,
        "value": value,
        "timestamp": str(timestamp_ms),
        "step": str(step),
    }
    return ask(LOG_METRIC, caller, parameters, run_id=run_id)


def log_batch(
    caller: Caller,
    run_id: str,
    *,
    points: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    run_name: str | None = None,
) -> bytes:
    """Store all or nothing. `run_name` renames the run as well.

    Raises ParamsChanged when a param of the run has another value, LimitExceeded when
    the run has no room for new ones.
    """
    parameters = batch_parameters(
        run_id, points=points, params=params, tags=tags, run_name=run_name
    )
    return ask(LOG_BATCH, caller, parameters, run_id=run_id)


def batch_parameters(
    run_id: str,
    *,
    points: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    run_name: str | None = None,
) -> dict[str, Any]:
    """Return what BATCH wants to know."""
    run = run_key(run_id)
    # By name, because latest values are locked in this order: see the function.
    points = sorted(points, key=itemgetter(0))
    names, timestamps, steps, values = zip(*points, strict=True) if points else [()] * 4
    return {
        "run": run,
        "ids": Uuids(ids_of(run, points)),
        "names": Texts(names),
        "values": Floats(values),
        "timestamps": Bigints(timestamps),
        "steps": Bigints(steps),
        "newest": Booleans(newest_of_each(points)),
        **columns_of("param", params or {}),
        **columns_of("tag", tags or {}),
        "run_name": run_name,
        "most_params": str(most("run_params")),
        "most_tags": str(most("run_tags")),
    }


def ids_of(run: str | None, points: Sequence[Point]) -> list[str]:
    return fact_ids(UUID(run) if run else NO_RUN, points)


def newest_of_each(points: Sequence[Point]) -> list[bool]:
    """Mark the newest point per name, by the rule of LATEST in the migration."""
    newest: dict[str, tuple[tuple[int, int, float], int]] = {}
    for index, (name, timestamp_ms, step, value) in enumerate(points):
        rank = (step, timestamp_ms, value if value == value else 0.0)
        best = newest.get(name)
        if best is None or rank > best[0]:
            newest[name] = (rank, index)
    marks = [False] * len(points)
    for _, index in newest.values():
        marks[index] = True
    return marks

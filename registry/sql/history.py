"""Points of one metric as JSON text that PostgreSQL builds: all of them, or a sample.

Which points make a sample is said in one place, the function registry_sample_metric:
see registry/migrations/0021_metric_histories.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops.db.hot import Uuids
from registry.sql.answers import admitted, ask, ask_page, run_key
from tenants.callers import Caller

METRIC_HISTORY = admitted("""
    registry_metric_history(
        caller.organization_id, caller.project_id, %(run)s, %(name)s, %(limit)s,
        %(token_project)s, %(from_timestamp)s, %(from_step)s, %(from_value)s)
""")
METRIC_HISTORIES = admitted("""
    registry_metric_histories(
        caller.organization_id, caller.project_id, %(runs)b, %(name)s, %(limit)s)
""")
SAMPLE_HISTORIES = admitted("""
    registry_sample_histories(
        caller.organization_id, caller.project_id, %(runs)b, %(name)s,
        %(points)s, %(first)s, %(last)s)
""")
ALL_STEPS = -(2**63), 2**63 - 1


def metric_history(
    caller: Caller,
    run_id: str,
    name: str,
    *,
    limit: int | None,
    place: Sequence[str] = (),
) -> tuple[bytes, list[str]]:
    """Return a page by (timestamp, step, value) and the place of the next one.

    Without `limit` it is the whole history.
    """
    project, timestamp, step, value = place or (None, None, None, None)
    parameters = {
        "run": run_key(run_id),
        "name": name,
        "limit": None if limit is None else str(limit),
        "token_project": project,
        "from_timestamp": timestamp,
        "from_step": step,
        "from_value": value,
    }
    body, following = ask_page(METRIC_HISTORY, caller, parameters, run_id=run_id)
    if following:
        # The point that the next page begins with; no key can hold these bytes.
        body = body[: body.rindex(b',{"key":')] + b"]}"
    return body, following


def metric_histories(
    caller: Caller, run_ids: Iterable[str], name: str, *, limit: int
) -> bytes:
    """Return the histories of runs by id, `limit` points in all; others are absent."""
    parameters = {"runs": keys_of(run_ids), "name": name, "limit": str(limit)}
    return ask(METRIC_HISTORIES, caller, parameters)


def sample_histories(
    caller: Caller,
    run_ids: Iterable[str],
    name: str,
    *,
    points: int,
    steps: tuple[int, int] = ALL_STEPS,
) -> bytes:
    """Return up to `points` of each run within the steps, in the order of the ids."""
    first, last = steps
    parameters = {
        "runs": keys_of(run_ids),
        "name": name,
        "points": str(points),
        "first": str(first),
        "last": str(last),
    }
    return ask(SAMPLE_HISTORIES, caller, parameters)


def keys_of(run_ids: Iterable[str]) -> Uuids:
    """Pass over what is no id: it is not found, like any other."""
    return Uuids([key for key in map(run_key, run_ids) if key])

"""All points of one metric of a run, by time, as JSON text that PostgreSQL builds."""

from __future__ import annotations

from collections.abc import Sequence

from registry.sql.answers import admitted, ask_page, run_key
from tenants.callers import Caller

METRIC_HISTORY = admitted("""
    registry_metric_history(
        caller.organization_id, caller.project_id, %(run)s, %(name)s, %(limit)s,
        %(token_project)s, %(from_timestamp)s, %(from_step)s, %(from_value)s)
""")


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

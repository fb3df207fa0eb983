"""Runs on the hot path: create, update, read one, read a page; answers are JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from mlops.db.hot import Bigints
from mlops.db.uuid7 import uuid7
from registry.sql.answers import admitted, ask, ask_page, columns_of, run_key
from tenants.callers import Caller

GET_RUN = admitted("""
    registry_run_document(caller.organization_id, caller.project_id, %(run)s)
""")
CREATE_RUN = admitted("""
    registry_create_run(
        caller.organization_id, caller.project_id, %(replayed)s, %(spare)s,
        %(experiment)s, %(name)s, %(user_name)s, %(start_time)s,
        %(tag_ids)b, %(tag_keys)b, %(tag_values)b)
""")
UPDATE_RUN = admitted("""
    registry_update_run(
        caller.organization_id, caller.project_id, %(run)s,
        %(status)s, %(end_time)s, %(name)s, %(tag)s, %(tag_key)s)
""")
SEARCH_RUNS = admitted("""
    registry_search_runs(
        caller.organization_id, caller.project_id, %(experiments)b, %(view)s,
        %(limit)s, %(token_project)s, %(after_start)s, %(after_run)s)
""")
LATEST_MS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a create asks for."""

    experiment: int
    name: str
    user_name: str
    start_time_ms: int
    tags: Mapping[str, str]


def get_run(caller: Caller, run_id: str) -> bytes:
    return ask(GET_RUN, caller, {"run": run_key(run_id)}, run_id=run_id)


def create_run(caller: Caller, run: NewRun, *, replayed: UUID | None) -> bytes:
    """Create it under the id `replayed`, or answer the run that has the id already."""
    parameters = {
        "replayed": replayed.hex if replayed else None,
        "spare": uuid7().hex,
        "experiment": str(run.experiment),
        "name": run.name,
        "user_name": run.user_name,
        "start_time": str(run.start_time_ms),
        **columns_of("tag", run.tags),
    }
    return ask(CREATE_RUN, caller, parameters, experiment=run.experiment)


def update_run(
    caller: Caller,
    run_id: str,
    *,
    status: str | None,
    end_time_ms: int | None,
    name: str | None,
    name_tag: str,
) -> bytes:
    """Change what is not None; a new name is written to the tag `name_tag` as well."""
    parameters = {
        "run": run_key(run_id),
        "status": status,
        "end_time": None if end_time_ms is None else str(end_time_ms),
        "name": name,
        "tag": uuid7().hex,
        "tag_key": name_tag,
    }
    return ask(UPDATE_RUN, caller, parameters, run_id=run_id)


def search_runs(
    caller: Caller,
    experiments: Sequence[int],
    *,
    view: str,
    limit: int,
    after: Sequence[str] = (),
) -> tuple[bytes, list[str]]:
    """Return a page, newest start first, and its end; `after` is the end of another.

    `view` is active, deleted or all.
    """
    project, start_time, run = after or (None, LATEST_MS, UUID(int=0).hex)
    parameters = {
        "experiments": Bigints(experiments),
        "view": view,
        "limit": str(limit),
        "token_project": project,
        "after_start": str(start_time),
        "after_run": run,
    }
    return ask_page(SEARCH_RUNS, caller, parameters)

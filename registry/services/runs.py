"""Runs: what is done to a run away from the hot path, and what makes a new one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from django.db import DEFAULT_DB_ALIAS

from mlops.db.uuid7 import fact_id
from mlops.errors import InvalidInput, NotFound
from registry import refusals
from registry.models import Experiment, Run, RunStatus, RunTag
from registry.services.limits import demand_fit, demand_room_for
from registry.services.run_names import new_run_name
from registry.sql import runs as sql
from registry.sql.counters import take_number
from registry.sql.runs import NewRun
from tenants.callers import Caller
from tenants.context import acting, bound_alias
from tenants.services import deletion

# MLflow keeps a run's name in a tag as well.
NAME_TAG = "mlflow.runName"
# Where old clients leave word of each model that they log.
MODELS_TAG = "mlflow.log-model.history"
MAX_TAG = 8000
REPLAY_WINDOW_MS = 3600 * 1000


def create_run(
    experiment: Experiment,
    *,
    name: str = "",
    user_name: str = "",
    start_time_ms: int = 0,
    status: str = RunStatus.RUNNING,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Raises InvalidInput when the experiment is deleted, LimitExceeded when there are
    too many tags."""
    if experiment.deleted_at is not None:
        raise refusals.deleted_experiment(experiment.iid)
    using = bound_alias() or DEFAULT_DB_ALIAS
    name = name or new_run_name()
    labels = {**(tags or {}), NAME_TAG: name}
    demand_fit("run_tags", "The new run", len(labels))
    run = Run(
        organization_id=experiment.organization_id,
        project=experiment.project,
        experiment=experiment,
        iid=take_number(experiment.project, "run", using=using),
        name=name,
        status=status,
        user_name=user_name,
        start_time_ms=start_time_ms,
        created_by=acting().id,
    )
    run.save(force_insert=True)
    _put_tags(run, labels)
    return run


def update_run(run: Run, **changes: Any) -> Run:
    """Change `name`, `status` or `end_time_ms`; the name's tag goes along."""
    refuse_deleted(run)
    for field, value in changes.items():
        setattr(run, field, value)
    run.save(update_fields=[*changes, "updated_at"])
    if "name" in changes:
        _put_tags(run, {NAME_TAG: run.name})
    return run


def delete_run(run: Run) -> None:
    """Mark it; deleting it twice changes nothing.

    Raises Forbidden when the actor neither made it nor maintains the project.
    """
    deletion.delete_own(run)


def restore_run(run: Run, *, below_deleted: bool = False) -> None:
    """Raises Forbidden like the deletion, and Conflict where its experiment is deleted,
    unless it may lie `below_deleted`, as MLflow has it."""
    if run.deleted_at is not None and not below_deleted:
        deletion.refuse_orphan(run.experiment)
    deletion.restore_own(run)


def set_run_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Raises LimitExceeded when there is no room for the new ones."""
    held = RunTag.objects.filter(run=run)
    demand_room_for("run_tags", f"Run {run.pk.hex}", held, tags)
    _put_tags(run, tags)


def _put_tags(run: Run, tags: Mapping[str, str]) -> None:
    rows = [
        RunTag(
            organization_id=run.organization_id,
            experiment_id=run.experiment_id,
            run=run,
            key=key,
            value=tags[key],
        )
        # By key, so that two requests lock the rows in the same order.
        for key in sorted(tags)
    ]
    RunTag.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["organization", "run", "key"],
        update_fields=["value"],
    )


def delete_run_tag(run: Run, *, key: str) -> None:
    """Raises NotFound when the run has no such tag, InvalidInput when it is deleted."""
    refuse_deleted(run)
    deleted, _ = RunTag.objects.filter(run=run, key=key).delete()
    if not deleted:
        raise NotFound(
            f"No tag with name: {refusals.shown(key)} in run with id {run.pk.hex}"
        )


def record_model(run: Run, *, model: Mapping[str, Any]) -> None:
    """Append to the list of models in the run's tag, as clients before 3.0 do."""
    refuse_deleted(run)
    tag = RunTag.objects.filter(run=run, key=MODELS_TAG).first()
    models = orjson.loads(tag.value) if tag else []
    # Written as MLflow's server writes it, for whoever compares the text.
    history = json.dumps([*models, model])
    if len(history) > MAX_TAG:
        raise InvalidInput(
            f"The tag {MODELS_TAG} has no room for another model: it would take "
            f"{len(history)} of {MAX_TAG} characters."
        )
    set_run_tags(run, {MODELS_TAG: history})


def refuse_deleted(run: Run) -> None:
    if run.deleted_at is not None:
        raise refusals.deleted_run(run.pk.hex)


def create_run_once(caller: Caller, asked: NewRun) -> bytes:
    """Create the run; the same request, sent again, gets the run it has made before."""
    return _create_run(caller, asked, replayed=replayed_run_id(caller, asked))


def create_run_anew(caller: Caller, asked: NewRun) -> bytes:
    """Create the run, and another one for each further request that is the same."""
    return _create_run(caller, asked, replayed=None)


def _create_run(caller: Caller, asked: NewRun, *, replayed: UUID | None) -> bytes:
    """Create it in the caller's one statement; the answer is JSON, as of sql."""
    name = asked.name or new_run_name()
    run = replace(asked, name=name, tags={**asked.tags, NAME_TAG: name})
    demand_fit("run_tags", "The new run", len(run.tags))
    return sql.create_run(caller, run, replayed=replayed)


def replayed_run_id(caller: Caller, asked: NewRun) -> UUID | None:
    """Derive the id that the same request gets when it is sent again.

    A client whose answer was lost repeats it to the millisecond of the start time; one
    that gives no time, or one of long ago, makes runs on purpose that look alike.
    """
    if abs(asked.start_time_ms - time.time_ns() // 1_000_000) > REPLAY_WINDOW_MS:
        return None
    return fact_id(
        asked.start_time_ms,
        "runs/create",
        caller.credential.public_id,
        caller.credential.user_id,
        caller.organization,
        caller.project,
        caller.workspace,
        asked.experiment,
        asked.user_name,
        asked.name,
        *(text for pair in sorted(asked.tags.items()) for text in pair),
    )

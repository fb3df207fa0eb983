"""Inputs: the datasets and the logged models that runs have used."""

from __future__ import annotations

from registry.mlflow import model_wire, rules, wire
from registry.mlflow.endpoint import endpoint
from registry.mlflow.views.logged_models import find_logged_models
from registry.mlflow.views.runs import find_run
from registry.models import ModelRole
from registry.services import inputs
from registry.services.logged_models import log_uses
from registry.sql import datasets as sql
from tenants.callers import Caller
from tenants.models import Project
from tenants.permissions import Permission

# Profiles of datasets come along, of up to 16 MB.
MAX_BODY_BYTES = 16 * 1024**2


@endpoint(
    "POST",
    "runs/log-inputs",
    needs=Permission.TRACKING_WRITE,
    body_limit=MAX_BODY_BYTES,
)
def log_inputs(
    project: Project,
    *,
    run_id: str,
    datasets: list | None = None,
    models: list | None = None,
) -> None:
    uses = wire.dataset_uses(datasets or [])
    asked = [model_id for model_id, _ in model_wire.model_uses(models or [])]
    run = find_run(project, run_id)
    inputs.log_inputs(run, uses)
    if asked:
        used = find_logged_models(project, asked)
        steps = [0] * len(used)
        log_uses(run, used, role=ModelRole.INPUT, steps=steps)


@endpoint("POST", "experiments/search-datasets", needs=Permission.TRACKING_READ)
def search_datasets(
    caller: Caller, *, experiment_ids: list[str] | None = None
) -> bytes:
    """Serve the filters of the web UI's table of runs; experiments may be absent."""
    rules.check_dataset_search(experiment_ids or [])
    numbers = rules.experiment_numbers(experiment_ids or [])
    return sql.search_datasets(caller, numbers, limit=rules.MAX_SUMMARIES)

"""Inputs: the datasets that a run has used."""

from __future__ import annotations

from registry.mlflow import wire
from registry.mlflow.endpoint import endpoint
from registry.mlflow.views.runs import find_run
from registry.services import inputs
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
    wire.refuse_model_inputs(models or [])
    inputs.log_inputs(find_run(project, run_id), uses)

"""Logged models: the client asks for those of a run when it lists a folder of it."""

from __future__ import annotations

from registry.mlflow import paging, rules
from registry.mlflow.endpoint import endpoint
from tenants.models import Project
from tenants.permissions import Permission


@endpoint("POST", "logged-models/search", needs=Permission.TRACKING_READ)
def search_logged_models(
    project: Project,
    *,
    experiment_ids: list[str],
    filter: str = "",  # noqa: A002 - MLflow's name
    max_results: int = 100,
    page_token: str = "",
) -> None:
    """Find none: they cannot be created yet."""
    rules.experiment_numbers(experiment_ids)
    rules.page_size(max_results)
    # None was ever given out.
    paging.unseal(page_token, "logged-models/search", project.pk)

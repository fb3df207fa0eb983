"""Experiments: create, read, search, rename, label, delete."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from mlops.errors import NotFound
from registry import refusals
from registry.mlflow import paging, rules, searching, wire
from registry.mlflow.endpoint import endpoint
from registry.mlflow.locations import location_asked
from registry.models import Experiment
from registry.search.fields import EXPERIMENTS
from registry.search.searches import Search
from registry.services import experiments as services
from tenants.models import Project
from tenants.permissions import Permission

IN_VIEW = {
    "active": Q(deleted_at__isnull=True),
    "deleted": Q(deleted_at__isnull=False),
    "all": Q(),
}
READ, WRITE = Permission.TRACKING_READ, Permission.TRACKING_WRITE


@endpoint("POST", "experiments/create", needs=WRITE)
def create_experiment(
    project: Project,
    *,
    name: str,
    artifact_location: str = "",
    tags: list | None = None,
) -> dict[str, str]:
    rules.check_label(name, "name")
    experiment = services.create_experiment(
        project,
        name=name,
        artifact_location=location_asked(artifact_location),
        tags=wire.experiment_tags(tags or []),
    )
    return {"experiment_id": str(experiment.iid)}


@endpoint("GET", "experiments/get", needs=READ)
def get_experiment(project: Project, *, experiment_id: str) -> dict[str, Any]:
    return {"experiment": wire.experiment(find_experiment(project, experiment_id))}


@endpoint("GET", "experiments/get-by-name", needs=READ)
def get_experiment_by_name(project: Project, *, experiment_name: str) -> dict[str, Any]:
    rows = (
        Experiment.objects.with_deleted()
        .in_project(project.pk)
        .filter(name=experiment_name)
    )
    experiment = rows.first()
    if experiment is None:
        name = refusals.shown(experiment_name)
        raise NotFound(f"Could not find experiment with name '{name}'")
    return {"experiment": wire.experiment(experiment)}


def search_experiments(
    project: Project,
    *,
    max_results: int = 0,
    page_token: str = "",
    filter: str = "",  # noqa: A002 - MLflow's name
    order_by: list[str] | None = None,
    view_type: object = None,
) -> dict[str, Any]:
    """Serve GET and POST; 3 statements for any page, the admission included."""
    limit, view = rules.page_size(max_results), rules.view(view_type)
    search = Search.of(EXPERIMENTS, filter, order_by or [])
    request = ("experiments/search", project.pk, filter, order_by or [], view)
    after = paging.unseal(page_token, *request)
    rows = (
        Experiment.objects.with_deleted().in_project(project.pk).filter(IN_VIEW[view])
    )
    page = search.page(rows.prefetch_related("tags"), limit=limit, after=after)
    return searching.answer("experiments", page, wire.experiment, *request)


for _method in ("GET", "POST"):
    endpoint(_method, "experiments/search", needs=READ)(search_experiments)


@endpoint("POST", "experiments/update", needs=WRITE)
def update_experiment(project: Project, *, experiment_id: str, new_name: str) -> None:
    rules.check_label(new_name, "name")
    experiment = find_experiment(project, experiment_id)
    services.rename_experiment(experiment, name=new_name)


@endpoint("POST", "experiments/delete", needs=Permission.TRACKING_DELETE)
def delete_experiment(project: Project, *, experiment_id: str) -> None:
    experiment = find_experiment(project, experiment_id)
    if experiment.deleted_at is not None:
        raise refusals.no_experiment(experiment.iid)
    services.delete_experiment(experiment)


@endpoint("POST", "experiments/restore", needs=Permission.TRACKING_DELETE)
def restore_experiment(project: Project, *, experiment_id: str) -> None:
    experiment = find_experiment(project, experiment_id)
    if experiment.deleted_at is None:
        raise refusals.no_experiment(experiment.iid)
    services.restore_experiment(experiment, all_runs=True)


@endpoint("POST", "experiments/set-experiment-tag", needs=WRITE)
def set_experiment_tag(
    project: Project, *, experiment_id: str, key: str, value: str = ""
) -> None:
    tags = dict([wire.experiment_tag(key, value)])
    services.set_experiment_tags(find_active(project, experiment_id), tags)


@endpoint("POST", "experiments/delete-experiment-tag", needs=WRITE)
def delete_experiment_tag(project: Project, *, experiment_id: str, key: str) -> None:
    services.delete_experiment_tag(find_active(project, experiment_id), key=key)


def find_experiment(project: Project, experiment_id: str) -> Experiment:
    """Raises NotFound in the same words for a foreign and an absent one."""
    number = rules.experiment_number(experiment_id)
    rows = Experiment.objects.with_deleted().in_project(project.pk).filter(iid=number)
    experiment = rows.first()
    if experiment is None:
        raise refusals.no_experiment(experiment_id)
    return experiment


def find_active(project: Project, experiment_id: str) -> Experiment:
    experiment = find_experiment(project, experiment_id)
    if experiment.deleted_at is not None:
        raise refusals.deleted_experiment(experiment.iid)
    return experiment

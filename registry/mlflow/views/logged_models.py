"""Logged models: what a client logs as a model, and the uses that runs make of it."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, prefetch_related_objects

from registry import refusals
from registry.mlflow import model_wire, paging, rules, searching
from registry.mlflow.endpoint import endpoint
from registry.mlflow.holders import find_logged_model, model_key
from registry.mlflow.places import Place
from registry.mlflow.views.experiments import find_experiment
from registry.mlflow.views.runs import find_run
from registry.models import LoggedModel, LoggedModelMetric, ModelRole
from registry.search.fields import LOGGED_MODELS
from registry.search.searches import Search
from registry.services import logged_models as services
from registry.sql.answers import run_key
from registry.sql.folders import list_folder
from tenants.models import Project
from tenants.permissions import Permission

READ, WRITE = Permission.TRACKING_READ, Permission.TRACKING_WRITE
MAX_SOURCE_RUN = 32
METRICS = LoggedModelMetric.objects.order_by("-id")[: model_wire.MAX_MODEL_METRICS]
# What a model is written with: a statement each, for any number of models.
PARTS: tuple[Any, ...] = (
    "params",
    "tags",
    Prefetch("metrics", METRICS, to_attr="newest_metrics"),
)


@endpoint("POST", "logged-models", needs=WRITE)
def create_logged_model(
    project: Project,
    *,
    experiment_id: str,
    name: str = "",
    model_type: str = "",
    source_run_id: str = "",
    params: list | None = None,
    tags: list | None = None,
) -> dict[str, Any]:
    rules.check_label(name, "name")
    rules.check_label(model_type, "model_type")
    model = services.create_logged_model(
        find_experiment(project, experiment_id),
        name=name,
        model_type=model_type,
        **source_of(project, source_run_id),
        params=model_wire.model_params(params or []),
        tags=model_wire.model_tags(tags or []),
    )
    return answer(model)


def source_of(project: Project, run_id: str) -> dict[str, Any]:
    """Find the run that an id names; another text is no id, and is kept as it is."""
    if run_key(run_id):
        return {"source_run": find_run(project, run_id)}
    rules.check_label(run_id, "source_run_id", MAX_SOURCE_RUN)
    return {"source_run_text": run_id}


# Before the endpoints that take an id: "search" is none.
@endpoint("POST", "logged-models/search", needs=READ)
def search_logged_models(
    project: Project,
    *,
    experiment_ids: list[str],
    filter: str = "",  # noqa: A002 - MLflow's name
    datasets: list | None = None,
    order_by: list | None = None,
    max_results: int = 100,
    page_token: str = "",
) -> dict[str, Any]:
    """Take 5 statements for any page, the admission included."""
    numbers = rules.experiment_numbers(experiment_ids)
    search = Search.of(
        LOGGED_MODELS,
        filter,
        searching.order_of_models(order_by or []),
        datasets=searching.datasets_of(datasets or []),
    )
    request = ("logged-models/search", project.pk, numbers, filter, order_by, datasets)
    after = paging.unseal(page_token, *request)
    models = LoggedModel.objects.in_project(project.pk)
    models = models.filter(experiment__iid__in=numbers).select_related("experiment")
    page = search.page(
        models.prefetch_related(*PARTS),
        limit=rules.page_size(max_results),
        after=after,
    )
    return searching.answer("models", page, model_wire.logged_model, *request)


@endpoint("GET", "logged-models/<model_id>", needs=READ)
def get_logged_model(
    project: Project, *, model_id: str, allow_deleted: bool = False
) -> dict[str, Any]:
    return answer(find_logged_model(project, model_id, deleted=allow_deleted))


@endpoint("PATCH", "logged-models/<model_id>", needs=WRITE)
def finalize_logged_model(
    project: Project, *, model_id: str, status: object
) -> dict[str, Any]:
    word = model_wire.logged_model_status(status)
    model = find_logged_model(project, model_id)
    return answer(services.finalize(model, status=word))


@endpoint("DELETE", "logged-models/<model_id>", needs=Permission.TRACKING_DELETE)
def delete_logged_model(project: Project, *, model_id: str) -> None:
    services.delete_logged_model(find_logged_model(project, model_id, deleted=True))


@endpoint("PATCH", "logged-models/<model_id>/tags", needs=WRITE)
def set_logged_model_tags(
    project: Project, *, model_id: str, tags: list | None = None
) -> None:
    labels = model_wire.model_tags(tags or [])
    services.set_model_tags(find_logged_model(project, model_id), labels)


@endpoint("DELETE", "logged-models/<model_id>/tags/<path:tag_key>", needs=WRITE)
def delete_logged_model_tag(project: Project, *, model_id: str, tag_key: str) -> None:
    services.delete_model_tag(find_logged_model(project, model_id), key=tag_key)


@endpoint("POST", "logged-models/<model_id>/params", needs=WRITE)
def log_model_params(
    project: Project, *, model_id: str, params: list | None = None
) -> None:
    texts = model_wire.model_params(params or [])
    services.log_model_params(find_logged_model(project, model_id), texts)


@endpoint(
    "GET",
    "logged-models/<model_id>/artifacts/directories",
    needs=Permission.ARTIFACTS_READ,
)
def list_model_artifacts(
    project: Project, *, model_id: str, artifact_directory_path: str = ""
) -> bytes:
    folder = Place("", artifact_directory_path).folder
    model = find_logged_model(project, model_id)
    package = model.package.pk if model.package else None
    files = list_folder(project, package, folder, whole_paths=True)
    return model_wire.listed_files(model.artifact_uri, files)


@endpoint("POST", "runs/outputs", needs=WRITE)
def log_outputs(project: Project, *, run_id: str, models: list) -> None:
    uses = model_wire.model_uses(models)
    run = find_run(project, run_id)
    services.log_uses(
        run,
        find_logged_models(project, [model_id for model_id, _ in uses]),
        role=ModelRole.OUTPUT,
        steps=[step for _, step in uses],
    )


def find_logged_models(project: Project, model_ids: list[str]) -> list[LoggedModel]:
    """Return them as they were asked for. Raises NotFound naming the first unknown."""
    keys = {model_id: model_key(model_id) for model_id in model_ids}
    known = [key for key in keys.values() if key]
    models = LoggedModel.objects.in_project(project.pk).in_bulk(known)
    for model_id, key in keys.items():
        if key not in models:
            raise refusals.no_logged_model(model_id)
    return [models[keys[model_id]] for model_id in model_ids]


def answer(model: LoggedModel) -> dict[str, Any]:
    prefetch_related_objects([model], *PARTS)
    return {"model": model_wire.logged_model(model)}

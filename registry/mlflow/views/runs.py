"""Runs: create, update, read, search, label, delete. All but the last two are hot."""

from __future__ import annotations

from uuid import UUID

from mlops.errors import InvalidInput
from registry import refusals
from registry.mlflow import model_wire, paging, rules, run_pages, wire
from registry.mlflow.endpoint import endpoint
from registry.mlflow.resending import may_be_sent_again
from registry.mlflow.views.metrics import log_points
from registry.models import Run
from registry.refusals import ParamsChanged
from registry.services import runs as services
from registry.sql import batch, runs
from registry.sql.answers import run_key
from tenants.callers import Caller
from tenants.models import Project
from tenants.permissions import Permission


@endpoint("POST", "runs/create", needs=Permission.TRACKING_WRITE)
def create_run(
    caller: Caller,
    *,
    experiment_id: str,
    user_id: str = "",
    run_name: str = "",
    start_time: int = 0,
    tags: list | None = None,
) -> bytes:
    labels = wire.new_run_tags(tags or [])
    rules.check_length(user_id, rules.MAX_USER, "user_id")
    asked = runs.NewRun(
        experiment=rules.experiment_number(experiment_id),
        name=wire.run_name(labels, run_name),
        user_name=user_id,
        start_time_ms=start_time,
        tags=labels,
    )
    if may_be_sent_again(caller.user_agent, labels):
        return services.create_run_once(caller, asked)
    return services.create_run_anew(caller, asked)


@endpoint("POST", "runs/update", needs=Permission.TRACKING_WRITE)
def update_run(
    caller: Caller,
    *,
    run_id: str,
    status: object = None,
    end_time: int | None = None,
    run_name: str = "",
) -> bytes:
    rules.check_label(run_name, "run_name")
    return runs.update_run(
        caller,
        run_id,
        status=rules.status(status),
        end_time_ms=end_time,
        name=run_name or None,
        name_tag=services.NAME_TAG,
    )


@endpoint("GET", "runs/get", needs=Permission.TRACKING_READ)
def get_run(caller: Caller, *, run_id: str) -> bytes:
    return runs.get_run(caller, run_id)


@endpoint("POST", "runs/search", needs=Permission.TRACKING_READ)
def search_runs(
    caller: Caller,
    *,
    experiment_ids: list[str] | None = None,
    filter: str = "",  # noqa: A002 - MLflow's name
    run_view_type: object = None,
    max_results: int = 1000,
    order_by: list[str] | None = None,
    page_token: str = "",
) -> bytes:
    view, limit = rules.view(run_view_type), rules.page_size(max_results)
    asked = run_pages.Asked.of(filter, order_by or [])
    is_plain = asked.search.is_plain
    numbers = rules.experiment_numbers(experiment_ids or [])
    request = asked.request(numbers, view)
    after = paging.unseal(page_token, *request)
    read = runs.search_runs if is_plain else asked.found
    body, place = read(caller, numbers, view=view, limit=limit, after=after)
    return paging.append(body, place, *request)


@endpoint("POST", "runs/set-tag", needs=Permission.TRACKING_WRITE)
def set_tag(caller: Caller, *, run_id: str, key: str, value: str = "") -> bytes:
    tags = dict([wire.run_tag(key, value)])
    return batch.log_batch(caller, run_id, **wire.tags_and_name(tags))


@endpoint("POST", "runs/log-parameter", needs=Permission.TRACKING_WRITE)
def log_param(caller: Caller, *, run_id: str, key: str, value: str = "") -> bytes:
    try:
        return batch.log_batch(caller, run_id, params=dict([wire.param(key, value)]))
    except ParamsChanged as error:
        raise error.alone() from None


@endpoint(
    "POST",
    "runs/log-batch",
    needs=Permission.TRACKING_WRITE,
    body_limit=rules.MAX_BATCH_BYTES,
    too_large=rules.LARGE_BATCH,
)
def log_batch(
    caller: Caller,
    *,
    run_id: str,
    metrics: list | None = None,
    params: list | None = None,
    tags: list | None = None,
) -> bytes:
    metrics, params, tags = metrics or [], params or [], tags or []
    try:
        points = wire.points(metrics)
        texts, labels = wire.params(params), wire.run_tags(tags)
    except InvalidInput:
        wire.refuse_missing(metrics=metrics, params=params, tags=tags)
        raise
    rules.check_batch(metrics, params, tags)
    rest = {"params": wire.once_each(texts), **wire.tags_and_name(labels)}
    if of_models := model_wire.model_points(metrics):
        return log_points(caller, run_id, points, of_models, **rest)
    return batch.log_batch(caller, run_id, points=points, **rest)


@endpoint("POST", "runs/delete", needs=Permission.TRACKING_DELETE)
def delete_run(project: Project, *, run_id: str) -> None:
    services.delete_run(find_run(project, run_id))


@endpoint("POST", "runs/restore", needs=Permission.TRACKING_DELETE)
def restore_run(project: Project, *, run_id: str) -> None:
    services.restore_run(find_run(project, run_id), below_deleted=True)


@endpoint("POST", "runs/delete-tag", needs=Permission.TRACKING_WRITE)
def delete_tag(project: Project, *, run_id: str, key: str) -> None:
    services.delete_run_tag(find_run(project, run_id), key=key)


@endpoint("POST", "runs/log-model", needs=Permission.TRACKING_WRITE)
def log_model(project: Project, *, run_id: str, model_json: str) -> None:
    """Serve clients before 3.0, which leave word of a model in a tag of its run."""
    run = find_run(project, run_id)
    services.record_model(run, model=wire.model_of_old_clients(model_json))


def find_run(project: Project, run_id: str) -> Run:
    """Raises NotFound in the same words for a foreign, an absent and a malformed id."""
    key = run_key(run_id)
    runs_of_project = Run.objects.with_deleted().in_project(project.pk)
    run = runs_of_project.filter(pk=UUID(key)).first() if key else None
    if run is None:
        raise refusals.no_run(run_id)
    return run

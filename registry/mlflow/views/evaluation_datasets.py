"""Evaluation datasets: their records, tags, and the experiments they are meant for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet, prefetch_related_objects

from registry import refusals
from registry.mlflow import evaluation_wire as wire
from registry.mlflow import paging, rules, searching
from registry.mlflow.endpoint import endpoint
from registry.mlflow.record_pages import page_of_records
from registry.models import (
    EvaluationDataset,
    EvaluationDatasetExperiment,
    EvaluationDatasetTag,
    Experiment,
)
from registry.models.evaluation_datasets import (
    DATASET_ID_PREFIX,
    MAX_DATASET_NAME,
    RECORD_ID_PREFIX,
)
from registry.search.fields import EVALUATION_DATASETS
from registry.search.searches import Search
from registry.services import evaluation_datasets as services
from registry.services import evaluation_records
from registry.sql.answers import run_key
from tenants.models import Project
from tenants.permissions import Permission

READ, WRITE = Permission.TRACKING_READ, Permission.TRACKING_WRITE
DELETE = Permission.TRACKING_DELETE
MAX_RECORDS_BYTES = 16 * 1024**2
DEFAULT_PAGE = 1000
TAGS = Prefetch("tags", EvaluationDatasetTag.objects.order_by("id"))


@endpoint("POST", "datasets/create", needs=WRITE)
def create_dataset(
    project: Project,
    *,
    name: str,
    experiment_ids: list[str] | None = None,
    tags: str = "",
) -> dict[str, Any]:
    rules.check_label(name, "name", MAX_DATASET_NAME)
    texts = wire.dataset_tags(tags)
    experiments = find_experiments(project, experiment_ids or [])
    dataset = services.create_evaluation_dataset(
        project,
        name=name,
        experiments=experiments,
        tags=texts,
        creator_name=wire.user_name(texts),
    )
    return answer(dataset, [str(each.iid) for each in experiments])


# Before the endpoints that take an id: "search" is none.
def search_datasets(
    project: Project,
    *,
    experiment_ids: list[str] | None = None,
    filter_string: str = "",
    max_results: int = DEFAULT_PAGE,
    order_by: list[str] | None = None,
    page_token: str = "",
) -> dict[str, Any]:
    """Serve GET and POST; 3 statements for any page, the admission included."""
    limit = rules.page_size(max_results)
    search = Search.of(EVALUATION_DATASETS, filter_string, order_by or [])
    numbers = rules.known_numbers(experiment_ids or [])
    asked = numbers if experiment_ids else None
    request = ("datasets/search", project.pk, asked, filter_string, order_by or [])
    after = paging.unseal(page_token, *request)
    rows = EvaluationDataset.objects.in_project(project.pk)
    if asked is not None:
        rows = rows.filter(pk__in=datasets_of(project, numbers))
    page = search.page(rows.prefetch_related(TAGS), limit=limit, after=after)
    return searching.answer("datasets", page, wire.evaluation_dataset, *request)


for _method in ("GET", "POST"):
    endpoint(_method, "datasets/search", needs=READ)(search_datasets)


def datasets_of(project: Project, numbers: Sequence[int]) -> QuerySet:
    experiments = (
        Experiment.objects.with_deleted().in_project(project.pk).filter(iid__in=numbers)
    )
    links = EvaluationDatasetExperiment.objects.filter(experiment__in=experiments)
    return links.values("dataset_id")


@endpoint("GET", "datasets/<dataset_id>", needs=READ)
def get_dataset(project: Project, *, dataset_id: str) -> dict[str, Any]:
    return answer(find_dataset(project, dataset_id))


@endpoint("DELETE", "datasets/<dataset_id>", needs=DELETE)
def delete_dataset(project: Project, *, dataset_id: str) -> None:
    """Like MLflow, say nothing of one that is not there: it is gone, as asked."""
    if dataset := look_up(project, dataset_id):
        services.delete_evaluation_dataset(dataset)


# Tags


@endpoint("PATCH", "datasets/<dataset_id>/tags", needs=WRITE)
def set_dataset_tags(project: Project, *, dataset_id: str, tags: str) -> None:
    texts = wire.dataset_tags(tags)
    dataset = look_up(project, dataset_id)
    if dataset is None:
        raise refusals.no_dataset_to_label(dataset_id)
    services.set_dataset_tags(dataset, texts)


@endpoint("DELETE", "datasets/<dataset_id>/tags/<path:key>", needs=WRITE)
def delete_dataset_tag(project: Project, *, dataset_id: str, key: str) -> None:
    if dataset := look_up(project, dataset_id):
        services.delete_dataset_tag(dataset, key=key)


# Experiments


@endpoint("GET", "datasets/<dataset_id>/experiment-ids", needs=READ)
def get_dataset_experiment_ids(project: Project, *, dataset_id: str) -> dict[str, Any]:
    dataset = look_up(project, dataset_id)
    links = EvaluationDatasetExperiment.objects.filter(dataset=dataset).order_by("id")
    numbers = links.values_list("experiment__iid", flat=True) if dataset else []
    return {"experiment_ids": [str(number) for number in numbers]} if numbers else {}


@endpoint("POST", "datasets/<dataset_id>/add-experiments", needs=WRITE)
def add_dataset_to_experiments(
    project: Project, *, dataset_id: str, experiment_ids: list[str] | None = None
) -> dict[str, Any]:
    dataset = find_dataset_to_link(project, dataset_id)
    experiments = find_experiments(project, experiment_ids or [])
    services.add_to_experiments(dataset, experiments)
    return answer(dataset)


@endpoint("POST", "datasets/<dataset_id>/remove-experiments", needs=WRITE)
def remove_dataset_from_experiments(
    project: Project, *, dataset_id: str, experiment_ids: list[str] | None = None
) -> dict[str, Any]:
    dataset = find_dataset_to_link(project, dataset_id)
    numbers = rules.known_numbers(experiment_ids or [])
    services.remove_from_experiments(dataset, numbers)
    return answer(dataset)


def find_experiments(project: Project, texts: Sequence[str]) -> list[Experiment]:
    """Return each once, as asked. Raises NotFound naming the first unknown."""
    rows = Experiment.objects.with_deleted().in_project(project.pk)
    numbers = rules.known_numbers(texts)
    found = {str(row.iid): row for row in rows.filter(iid__in=numbers)}
    for text in texts:
        if text not in found:
            raise refusals.no_experiment_of_dataset(text)
    return [found[text] for text in dict.fromkeys(texts)]


# Records


@endpoint(
    "POST",
    "datasets/<dataset_id>/records",
    needs=WRITE,
    body_limit=MAX_RECORDS_BYTES,
)
def upsert_dataset_records(
    project: Project, *, dataset_id: str, records: str
) -> dict[str, Any]:
    """Take as many statements for one record as for thousands."""
    examples = wire.examples(records)
    dataset = find_dataset(project, dataset_id)
    inserted, updated = evaluation_records.upsert_records(dataset, examples)
    return {"inserted_count": inserted, "updated_count": updated}


@endpoint("GET", "datasets/<dataset_id>/records", needs=READ)
def get_dataset_records(
    project: Project,
    *,
    dataset_id: str,
    max_results: int = DEFAULT_PAGE,
    page_token: str = "",
) -> dict[str, Any]:
    """Return the records of one that is not there as MLflow does: none."""
    request = ("datasets/records", project.pk, dataset_id)
    place = paging.unseal(page_token, *request)
    limit = min(max_results or DEFAULT_PAGE, rules.MAX_PAGE)
    limit = rules.page_size(limit)
    dataset = look_up(project, dataset_id)
    if dataset is None:
        return {"records": "[]"}
    rows, end = page_of_records(dataset, limit=limit, place=place)
    found = {"records": wire.records(rows, dataset.dataset_id)}
    return found | ({"next_page_token": paging.seal(end, *request)} if end else {})


@endpoint("DELETE", "datasets/<dataset_id>/records", needs=DELETE)
def delete_dataset_records(
    project: Project, *, dataset_id: str, dataset_record_ids: list[str] | None = None
) -> dict[str, Any]:
    keys = [key_of(text, RECORD_ID_PREFIX) for text in dataset_record_ids or []]
    known = [key for key in keys if key]
    dataset = look_up(project, dataset_id)
    if dataset is None or not known:
        return {"deleted_count": 0}
    return {"deleted_count": evaluation_records.delete_records(dataset, known)}


# What they share


def look_up(project: Project, dataset_id: str) -> EvaluationDataset | None:
    key = key_of(dataset_id, DATASET_ID_PREFIX)
    rows = EvaluationDataset.objects.in_project(project.pk)
    return rows.filter(pk=key).first() if key else None


def find_dataset(project: Project, dataset_id: str) -> EvaluationDataset:
    dataset = look_up(project, dataset_id)
    if dataset is None:
        raise refusals.no_evaluation_dataset(dataset_id)
    return dataset


def find_dataset_to_link(project: Project, dataset_id: str) -> EvaluationDataset:
    dataset = look_up(project, dataset_id)
    if dataset is None:
        raise refusals.no_dataset_to_link(dataset_id)
    return dataset


def key_of(text: str, prefix: str) -> UUID | None:
    """Return an id to look up; what is no id is not found, like any other."""
    key = run_key(text.removeprefix(prefix))
    return UUID(key) if key and text.startswith(prefix) else None


def answer(
    dataset: EvaluationDataset, experiment_ids: Sequence[str] = ()
) -> dict[str, Any]:
    prefetch_related_objects([dataset], TAGS)
    return {"dataset": wire.evaluation_dataset(dataset, experiment_ids)}

"""Evaluation datasets: made, labelled, meant for experiments, deleted and restored."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from mlops.db.uuid7 import milliseconds
from registry.models import (
    EvaluationDataset,
    EvaluationDatasetExperiment,
    EvaluationDatasetTag,
    Experiment,
)
from registry.services.limits import demand_room, demand_room_for
from tenants.context import acting
from tenants.models import Project
from tenants.services import deletion


@transaction.atomic
def create_evaluation_dataset(
    project: Project,
    *,
    name: str,
    experiments: Sequence[Experiment] = (),
    tags: Mapping[str, str] | None = None,
    creator_name: str = "",
) -> EvaluationDataset:
    """Make it without records; its name may be another's, too.

    Raises LimitExceeded when the project is full: deleted ones count as well.
    """
    held = EvaluationDataset.objects.with_deleted().in_project(project.pk)
    demand_room("project_evaluation_datasets", f"Project {project.slug}", held)
    now = timezone.now()
    dataset = EvaluationDataset(
        organization_id=project.organization_id,
        project=project,
        name=name,
        digest=digest_of(name, now),
        creator_name=creator_name,
        updater_name=creator_name,
        created_by=acting().id,
        created_at=now,
        updated_at=now,
    )
    dataset.save(force_insert=True)
    set_dataset_tags(dataset, tags or {})
    _link(dataset, experiments)
    return dataset


def digest_of(name: str, moment: datetime) -> str:
    """Tell states of a dataset apart as MLflow does: by when the records changed."""
    text = f"{name}:{milliseconds(moment)}".encode()
    return hashlib.sha256(text).hexdigest()[:8]


def delete_evaluation_dataset(dataset: EvaluationDataset) -> None:
    """Mark it; deleting it twice changes nothing, and the records stay.

    Raises Forbidden when the actor neither made it nor maintains the project.
    """
    deletion.delete_own(dataset)


def restore_evaluation_dataset(dataset: EvaluationDataset) -> None:
    """Raises Forbidden like the deletion."""
    deletion.restore_own(dataset)


# Tags


def set_dataset_tags(dataset: EvaluationDataset, tags: Mapping[str, str]) -> None:
    """Raises LimitExceeded when there is no room for the new ones."""
    held = EvaluationDatasetTag.objects.filter(dataset=dataset)
    demand_room_for("evaluation_dataset_tags", owner_of(dataset), held, tags)
    rows = [
        EvaluationDatasetTag(
            organization_id=dataset.organization_id,
            dataset=dataset,
            key=key,
            value=value,
        )
        for key, value in tags.items()
    ]
    EvaluationDatasetTag.objects.bulk_create(
        # By key, so that two requests lock the rows in the same order.
        sorted(rows, key=lambda row: row.key),
        update_conflicts=True,
        unique_fields=["organization", "dataset", "key"],
        update_fields=["value", "updated_at"],
    )


def delete_dataset_tag(dataset: EvaluationDataset, *, key: str) -> None:
    """Take the tag off; without it there is nothing to do."""
    EvaluationDatasetTag.objects.filter(dataset=dataset, key=key).delete()


# Experiments


@transaction.atomic
def add_to_experiments(
    dataset: EvaluationDataset, experiments: Sequence[Experiment]
) -> None:
    """Mean it for these, too; it counts as changed even if it was.

    Raises LimitExceeded when there is no room for the new ones.
    """
    _link(dataset, experiments)
    _touch(dataset)


@transaction.atomic
def remove_from_experiments(
    dataset: EvaluationDataset, numbers: Collection[int]
) -> None:
    """Mean it no longer for the experiments of these numbers, as far as it was."""
    links = EvaluationDatasetExperiment.objects.filter(dataset=dataset)
    found = links.filter(experiment__iid__in=numbers).values("pk")
    removed, _ = links.filter(pk__in=found).delete()
    if removed:
        _touch(dataset)


def _link(dataset: EvaluationDataset, experiments: Sequence[Experiment]) -> None:
    keys = {experiment.pk for experiment in experiments}
    held = EvaluationDatasetExperiment.objects.filter(dataset=dataset)
    owner = owner_of(dataset)
    demand_room_for(
        "evaluation_dataset_experiments", owner, held, keys, field="experiment"
    )
    EvaluationDatasetExperiment.objects.bulk_create(
        [
            EvaluationDatasetExperiment(
                organization_id=dataset.organization_id,
                dataset=dataset,
                experiment=experiment,
            )
            for experiment in experiments
        ],
        ignore_conflicts=True,
    )


def _touch(dataset: EvaluationDataset) -> None:
    dataset.updated_at = timezone.now()
    dataset.save(update_fields=["updated_at"])


def owner_of(dataset: EvaluationDataset) -> str:
    return f"Evaluation dataset {dataset.dataset_id}"

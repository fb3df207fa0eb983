"""Experiments: named series of runs."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import DEFAULT_DB_ALIAS, IntegrityError

from mlops.db import uniques
from mlops.errors import AlreadyExists, InvalidState, NotFound
from registry.models import Experiment, ExperimentTag
from registry.refusals import most, shown
from registry.services.limits import demand_room, demand_room_for
from registry.sql.counters import take_number
from tenants.context import acting, bound_alias
from tenants.models import Project
from tenants.permissions import demand_maintainer
from tenants.services import deletion

ARTIFACT_ROOT = "mlflow-artifacts:"


def create_experiment(
    project: Project,
    *,
    name: str,
    artifact_location: str = "",
    tags: Mapping[str, str] | None = None,
) -> Experiment:
    """Raises AlreadyExists when an experiment has the name, LimitExceeded when the
    project is full: deleted ones count for both."""
    refuse_taken(project, name)
    using = bound_alias() or DEFAULT_DB_ALIAS
    number = take_number(project, "experiment", using=using)
    _demand_room_for_one(project, number)
    experiment = Experiment(
        organization_id=project.organization_id,
        project=project,
        iid=number,
        name=name,
        artifact_location=artifact_location or f"{ARTIFACT_ROOT}/{number}",
        created_by=acting().id,
    )
    _save_named(experiment, force_insert=True)
    set_experiment_tags(experiment, tags or {})
    return experiment


def _demand_room_for_one(project: Project, number: int) -> None:
    """Count only in a project that has ever had so many: numbers are never reused."""
    if number >= most("project_experiments"):
        held = Experiment.objects.with_deleted().in_project(project.pk)
        demand_room("project_experiments", f"Project {project.slug}", held)


def rename_experiment(experiment: Experiment, *, name: str) -> Experiment:
    """Raises InvalidState when it is deleted, AlreadyExists when the name is taken."""
    if experiment.deleted_at is not None:
        raise InvalidState("Cannot rename a non-active experiment.")
    if experiment.name != name:
        refuse_taken(experiment.project, name)
    experiment.name = name
    _save_named(experiment, update_fields=["name", "updated_at"])
    return experiment


def refuse_taken(project: Project, name: str) -> None:
    """Ask before a number is taken for nothing; only the unique key is sure."""
    if (
        Experiment.objects.with_deleted()
        .in_project(project.pk)
        .filter(name=name)
        .exists()
    ):
        raise _taken(name)


def _save_named(experiment: Experiment, **how: object) -> None:
    try:
        experiment.save(**how)  # type: ignore[arg-type]
    except IntegrityError as error:
        if not uniques.is_broken(error):
            raise
        raise _taken(experiment.name) from None


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"Experiment(name={shown(name)}) already exists.")


def delete_experiment(experiment: Experiment) -> None:
    """Mark it with its runs and logged models; deleting it twice changes nothing.

    Raises Forbidden unless the actor maintains the project.
    """
    demand_maintainer(acting(), "Deleting an experiment")
    if experiment.deleted_at is not None:
        return
    mark = deletion.new_mark(experiment)
    deletion.put(experiment, mark)
    deletion.put_on_all(experiment.runs.all(), mark)
    deletion.put_on_all(experiment.logged_models.all(), mark)


def restore_experiment(experiment: Experiment, *, all_runs: bool = False) -> None:
    """Bring it back with what went along with it, and on demand with all of its runs.

    Raises Forbidden unless the actor maintains the project.
    """
    demand_maintainer(acting(), "Restoring an experiment")
    if experiment.deleted_at is None:
        return
    deletion.refuse_purged(experiment)
    runs = experiment.runs.with_deleted().filter(deleted_at__isnull=False)
    along = {"delete_batch": experiment.delete_batch}
    deletion.restore_all(runs if all_runs else runs.filter(**along))
    deletion.restore_all(experiment.logged_models.with_deleted().filter(**along))
    deletion.restore(experiment)


def set_experiment_tags(experiment: Experiment, tags: Mapping[str, str]) -> None:
    """Raises LimitExceeded when there is no room for the new ones."""
    held = ExperimentTag.objects.filter(experiment=experiment)
    demand_room_for("experiment_tags", f"Experiment {experiment.iid}", held, tags)
    rows = [
        ExperimentTag(
            organization_id=experiment.organization_id,
            experiment=experiment,
            key=key,
            value=tags[key],
        )
        # By key, so that two requests lock the rows in the same order.
        for key in sorted(tags)
    ]
    ExperimentTag.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["organization", "experiment", "key"],
        update_fields=["value", "updated_at"],
    )


def delete_experiment_tag(experiment: Experiment, *, key: str) -> None:
    """Raises NotFound when the experiment has no such tag."""
    deleted, _ = ExperimentTag.objects.filter(experiment=experiment, key=key).delete()
    if not deleted:
        raise NotFound(
            f"No tag with name: {shown(key)} in experiment with id {experiment.iid}"
        )

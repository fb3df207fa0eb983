"""Logged models: made pending, filled with files, params and labels, then finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction

from mlops.errors import InvalidInput, NotFound
from registry import refusals, relations
from registry.models import (
    Experiment,
    LoggedModel,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
    ModelRole,
    Package,
    PackageType,
    Run,
    RunModel,
)
from registry.services import packages
from registry.services.limits import demand_room_for
from registry.services.run_names import new_run_name
from registry.services.runs import refuse_deleted as refuse_deleted_run
from registry.storage import ArtifactKey, StoredBlob
from tenants.context import acting
from tenants.models import Project
from tenants.services import deletion

# Slashes and the like would make a name look like a path or like the id of a model.
FORBIDDEN = "/:.%\"'"


@transaction.atomic
def create_logged_model(
    experiment: Experiment,
    *,
    name: str = "",
    model_type: str = "",
    source_run: Run | None = None,
    source_run_text: str = "",
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """Make it pending; without a name it gets one.

    Raises InvalidInput when the experiment is deleted or the name cannot be one.
    """
    if experiment.deleted_at is not None:
        raise refusals.deleted_experiment(experiment.iid)
    model = LoggedModel(
        organization_id=experiment.organization_id,
        project_id=experiment.project_id,
        experiment=experiment,
        name=checked_name(name) if name else new_run_name(),
        model_type=model_type,
        source_run=source_run,
        source_run_text=source_run_text,
        created_by=acting().id,
    )
    model.save(force_insert=True)
    log_model_params(model, params or {})
    set_model_tags(model, tags or {})
    return model


def checked_name(name: str) -> str:
    if any(each in FORBIDDEN for each in name):
        raise InvalidInput(
            f"Invalid model name ({refusals.shown(name)!r}) provided. Model name must "
            "be a non-empty string and cannot contain the following characters: "
            f"{tuple(FORBIDDEN)}"
        )
    return name


def finalize(model: LoggedModel, *, status: LoggedModelStatus) -> LoggedModel:
    """Say that the model is ready, or that it failed; both may be said again."""
    refuse_deleted(model)
    model.status = status
    model.save(update_fields=["status", "updated_at"])
    return model


def delete_logged_model(model: LoggedModel) -> None:
    """Mark it; deleting it twice changes nothing, and the files stay.

    Raises Forbidden when the actor neither made it nor maintains the project.
    """
    deletion.delete_own(model)


def restore_logged_model(model: LoggedModel) -> None:
    """Raises Forbidden like the deletion, Conflict where its experiment is deleted."""
    if model.deleted_at is not None:
        deletion.refuse_orphan(model.experiment)
    deletion.restore_own(model)


@transaction.atomic
def log_model_params(model: LoggedModel, params: Mapping[str, str]) -> None:
    """Add params; what is there already may be sent again, but not with another value.

    Raises InvalidInput when a param would change, LimitExceeded when there is no room.
    """
    refuse_deleted(model)
    if not params:
        return
    held = LoggedModelParam.objects.filter(logged_model=model)
    demand_room_for("logged_model_params", owner_of(model), held, params)
    rows = [
        LoggedModelParam(
            organization_id=model.organization_id,
            logged_model=model,
            key=key,
            value=params[key],
        )
        # By key, so that two requests lock the rows in the same order.
        for key in sorted(params)
    ]
    LoggedModelParam.objects.bulk_create(rows, ignore_conflicts=True)
    stored = dict(held.filter(key__in=params).values_list("key", "value"))
    for key, value in stored.items():
        if value != params[key]:
            raise InvalidInput(
                "Changing param values is not allowed. Param with key="
                f"'{refusals.shown(key)}' was already logged with value="
                f"'{refusals.shown(value)}' for model ID='{model.model_id}'. Attempted "
                f"logging new value '{refusals.shown(params[key])}'."
            )


def set_model_tags(model: LoggedModel, tags: Mapping[str, str]) -> None:
    """Raises LimitExceeded when there is no room for the new ones."""
    refuse_deleted(model)
    held = LoggedModelTag.objects.filter(logged_model=model)
    demand_room_for("logged_model_tags", owner_of(model), held, tags)
    rows = [
        LoggedModelTag(
            organization_id=model.organization_id,
            logged_model=model,
            key=key,
            value=tags[key],
        )
        # By key, so that two requests lock the rows in the same order.
        for key in sorted(tags)
    ]
    LoggedModelTag.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["organization", "logged_model", "key"],
        update_fields=["value", "updated_at"],
    )


def delete_model_tag(model: LoggedModel, *, key: str) -> None:
    """Raises NotFound when the model has no such tag."""
    refuse_deleted(model)
    deleted, _ = LoggedModelTag.objects.filter(logged_model=model, key=key).delete()
    if not deleted:
        raise NotFound(
            f"No tag with key '{refusals.shown(key)}' found for model with ID "
            f"'{model.model_id}'."
        )


# What a run has to do with models


def log_uses(
    run: Run, models: Sequence[LoggedModel], *, role: ModelRole, steps: Sequence[int]
) -> None:
    """Say that the run used models, or brought them forth; a repeat says nothing new.

    Raises InvalidInput when the run is deleted, LimitExceeded when there is no room.
    """
    refuse_deleted_run(run)
    keys = {model.pk for model in models}
    held = RunModel.objects.filter(run=run, role=role)
    owner = f"Run {run.pk.hex}"
    demand_room_for("run_models", owner, held, keys, field="logged_model")
    uses = sorted({(m.pk, step) for m, step in zip(models, steps, strict=True)})
    RunModel.objects.bulk_create(
        [
            RunModel(
                organization_id=run.organization_id,
                run=run,
                logged_model_id=model,
                role=role,
                step=step,
            )
            for model, step in uses
        ],
        ignore_conflicts=True,
    )


# Files


@transaction.atomic
def attach_file(model: LoggedModel, *, key: ArtifactKey, blob: StoredBlob) -> Package:
    """Put `blob` at `key` of the model's package; the first file makes the package.

    Raises InvalidInput when the model is deleted, or when a file stands where the key
    needs a folder or the other way round.
    """
    refuse_deleted(model)
    project = Project(pk=model.project_id, organization_id=model.organization_id)
    package = packages.open_package(
        project, model.package_name, relations.VERSION, PackageType.MODEL
    )
    packages.attach_to(package, key=key, blob=blob)
    model.package = package
    return package


def remove_files(model: LoggedModel, *, key: ArtifactKey) -> int:
    """Remove the file at `key`, or all files below it; return how many there were."""
    refuse_deleted(model)
    return packages.remove_from(relations.packages_of([model]), key=key)


def refuse_deleted(model: LoggedModel) -> None:
    if model.deleted_at is not None:
        raise refusals.deleted_logged_model(model.model_id)


def owner_of(model: LoggedModel) -> str:
    return f"Logged model {model.model_id}"

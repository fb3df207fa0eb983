"""Registered models: the lasting names, their labels, and what hangs on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet

from mlops.db.uniques import claiming
from mlops.errors import Conflict
from registry.models import (
    Alias,
    Deployment,
    DeploymentStatus,
    ModelVersion,
    RegisteredModel,
    RegisteredModelTag,
)
from registry.refusals import shown
from registry.services.limits import demand_room, demand_room_for
from registry.services.names import MODEL_NAME_LENGTH, alias_name, model_name
from tenants.context import acting
from tenants.models import Project
from tenants.permissions import Permission, demand
from tenants.services import deletion

NOUN = "registered model"


def create_model(
    project: Project,
    *,
    name: str,
    description: str = "",
    tags: Mapping[str, str] | None = None,
) -> RegisteredModel:
    """Raises AlreadyExists when a live model of the project has the name, LimitExceeded
    when there are too many of them."""
    held = RegisteredModel.objects.in_project(project.pk)
    demand_room("project_models", f"Project {project.slug}", held)
    model = RegisteredModel(
        organization_id=project.organization_id,
        project=project,
        name=model_name(name),
        description=description,
        created_by=acting().id,
    )
    with claiming(NOUN, name=name):
        model.save(force_insert=True)
    set_model_tags(model, tags or {})
    return model


def update_model(model: RegisteredModel, **changes: Any) -> RegisteredModel:
    """Change `description`, or rename by `name`."""
    deletion.refuse_deleted(model)
    if changes.get("name", model.name) != model.name:
        demand(acting(), Permission.REGISTRY_DELETE, "Renaming a model")
        model_name(changes["name"])
    for field, value in changes.items():
        setattr(model, field, value)
    with claiming(NOUN, name=model.name):
        model.save(update_fields=[*changes, "updated_at"])
    return model


def rename_model(model: RegisteredModel, *, name: str) -> RegisteredModel:
    return update_model(model, name=name)


def delete_model(model: RegisteredModel) -> None:
    """Mark the model and its live versions; deleting it twice changes nothing.

    Raises Conflict while a version of it serves.
    """
    if lock(model).deleted_at is not None:
        return
    refuse_serving(model.versions.all())
    mark = deletion.new_mark(model)
    deletion.put_on_all(model.versions.all(), mark)
    deletion.put(model, mark)


def refuse_serving(versions: QuerySet[ModelVersion]) -> None:
    serving = Deployment.objects.filter(
        model_version__in=versions, status=DeploymentStatus.ACTIVE
    )
    deployment = serving.select_related("model_version").first()
    if deployment is not None and deployment.model_version is not None:
        raise Conflict(
            f"Deployment {deployment.name!r} ({deployment.pk}) serves version"
            f" {deployment.model_version.version} in {deployment.environment};"
            " retire or delete it first."
        )


def restore_model(model: RegisteredModel) -> RegisteredModel:
    """Bring back the model and the versions that were deleted with it.

    Raises Conflict when another live model has taken the name, LimitExceeded when the
    project has as many models as it may.
    """
    if lock(model).deleted_at is None:
        return model
    _refuse_taken_name(model)
    held = RegisteredModel.objects.in_project(model.project_id)
    demand_room("project_models", f"Project {model.project_id}", held)
    versions = model.versions.with_deleted().filter(delete_batch=model.delete_batch)
    deletion.restore_all(versions)
    with claiming(NOUN, name=model.name):
        deletion.restore(model)
    return model


def _refuse_taken_name(model: RegisteredModel) -> None:
    siblings = RegisteredModel.objects.in_project(model.project_id)
    twin = siblings.filter(name=model.name).first()
    if twin is None:
        return
    free = deletion.free_name(model.name, siblings, longest=MODEL_NAME_LENGTH)
    raise Conflict(
        f"Name {model.name!r} of the deleted model {model.pk} belongs to model"
        f" {twin.pk} now. Rename that one, for example to {free!r}, then restore."
    )


def lock(model: RegisteredModel) -> RegisteredModel:
    """Wait for whoever changes the model's versions, and read it anew.

    Everything that touches several rows of a model comes through here first, so two
    of them never wait for each other.
    """
    model.refresh_from_db(
        from_queryset=RegisteredModel.objects.with_deleted().select_for_update(
            no_key=True
        )
    )
    return model


def set_model_tags(model: RegisteredModel, tags: Mapping[str, str]) -> None:
    """Raises LimitExceeded when there is no room for the new ones."""
    deletion.refuse_deleted(model)
    demand_room_for("model_tags", _called(model), model.tags.all(), tags)
    rows = [
        RegisteredModelTag(
            organization_id=model.organization_id,
            registered_model=model,
            key=key,
            value=tags[key],
        )
        # By key, so that two requests lock the rows in the same order.
        for key in sorted(tags)
    ]
    RegisteredModelTag.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["organization", "registered_model", "key"],
        update_fields=["value", "updated_at"],
    )


def _called(model: RegisteredModel) -> str:
    return f"Registered model {shown(model.name)}"


def delete_model_tag(model: RegisteredModel, *, key: str) -> None:
    """Remove a label; an absent one is as good as removed."""
    deletion.refuse_deleted(model)
    model.tags.filter(key=key).delete()


def set_alias(model: RegisteredModel, *, name: str, version: ModelVersion) -> Alias:
    """Let the alias point at the version, from wherever it points now.

    Raises Forbidden for an alias that the project protects, without the right to
    promote; LimitExceeded when there is no room for a new one.
    """
    deletion.refuse_deleted(model)
    _demand_promotion(model, name)
    deletion.refuse_deleted(version)
    name = alias_name(name)
    held = model.aliases.all()
    demand_room_for("model_aliases", _called(model), held, [name], field="name")
    alias = Alias(
        organization_id=model.organization_id,
        registered_model=model,
        name=name,
        model_version=version,
    )
    Alias.objects.bulk_create(
        [alias],
        update_conflicts=True,
        unique_fields=["organization", "registered_model", "name"],
        update_fields=["model_version", "updated_at"],
    )
    return alias


def _demand_promotion(model: RegisteredModel, name: str) -> None:
    projects = Project.objects.filter(pk=model.project_id)
    protected = projects.values_list("protected_aliases", flat=True).first() or []
    if name.casefold() in {each.casefold() for each in protected}:
        demand(acting(), Permission.REGISTRY_PROMOTE, f"Moving the alias {name!r}")


def delete_alias(model: RegisteredModel, *, name: str) -> None:
    """Remove an alias; an absent one is as good as removed."""
    deletion.refuse_deleted(model)
    _demand_promotion(model, name)
    model.aliases.filter(name=name).delete()

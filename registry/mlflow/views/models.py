"""Registered models: the names that clients register versions under, and aliases."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

from django.db.models import Prefetch

from mlops.errors import AlreadyExists, InvalidInput, NotFound
from registry.mlflow import paging, registry_wire, rules, searching
from registry.mlflow.endpoint import endpoint
from registry.mlflow.sources import version_number
from registry.models import Alias, ModelVersion, RegisteredModel
from registry.refusals import shown
from registry.search.fields import MODELS
from registry.search.searches import Search
from registry.services import models as services
from tenants.models import Project
from tenants.permissions import Permission

READ, WRITE = Permission.REGISTRY_READ, Permission.REGISTRY_WRITE
ALIASES = Prefetch("aliases", Alias.objects.select_related("model_version"))


@endpoint("POST", "registered-models/create", needs=WRITE)
def create_registered_model(
    project: Project, *, name: str, tags: list | None = None, description: str = ""
) -> dict[str, Any]:
    registry_wire.check_description(description)
    labels = registry_wire.registry_tags(tags or [])
    try:
        services.create_model(project, name=name, description=description, tags=labels)
    except AlreadyExists:
        message = f"Registered Model (name={shown(name)}) already exists."
        raise AlreadyExists(message) from None
    return {"registered_model": written(project, name)}


@endpoint("GET", "registered-models/get", needs=READ)
def get_registered_model(project: Project, *, name: str) -> dict[str, Any]:
    return {"registered_model": written(project, name)}


@endpoint("GET", "registered-models/search", needs=READ)
def search_registered_models(
    project: Project,
    *,
    filter: str = "",  # noqa: A002 - MLflow's name
    max_results: int = 100,
    order_by: list[str] | None = None,
    page_token: str = "",
) -> dict[str, Any]:
    """Take 7 statements for any page, the admission included."""
    limit = rules.page_size(max_results, rules.MAX_MODELS_PAGE)
    search = Search.of(MODELS, filter, order_by or [])
    request = ("registered-models/search", project.pk, filter, order_by or [])
    after = paging.unseal(page_token, *request)
    rows = RegisteredModel.objects.in_project(project.pk)
    rows = rows.prefetch_related("tags", ALIASES)
    page = search.page(rows, limit=limit, after=after)
    latest = latest_versions_of(page.rows)

    def write(model: RegisteredModel) -> dict[str, Any]:
        return registry_wire.registered_model(model, latest[model.pk])

    return searching.answer("registered_models", page, write, *request)


@endpoint("GET", "registered-models/alias", needs=READ)
def get_version_by_alias(project: Project, *, name: str, alias: str) -> dict[str, Any]:
    model = find_model(project, name)
    versions = versions_of(model).filter(aliases__name=alias)
    version = versions.first()
    if version is None:
        raise InvalidInput(f"Registered model alias {shown(alias)} not found.")
    return {"model_version": registry_wire.model_version(model.name, version)}


@endpoint("POST", "registered-models/alias", needs=WRITE)
def set_alias(project: Project, *, name: str, alias: str, version: object) -> None:
    model = find_model(project, name)
    services.set_alias(model, name=alias, version=find_version(model, version))


@endpoint("DELETE", "registered-models/alias", needs=WRITE)
def delete_alias(project: Project, *, name: str, alias: str) -> None:
    services.delete_alias(find_model(project, name), name=alias)


def find_model(project: Project, name: str) -> RegisteredModel:
    """Raises NotFound in the same words for a foreign and an absent one."""
    models = RegisteredModel.objects.in_project(project.pk)
    model = models.prefetch_related("tags", ALIASES).filter(name=name).first()
    if model is None:
        raise NotFound(f"Registered Model with name={shown(name)} not found")
    return model


def find_version(model: RegisteredModel, version: object) -> ModelVersion:
    number = version_number(version)
    found = versions_of(model).filter(version=number).first()
    if found is None:
        raise NotFound(
            f"Model Version (name={shown(model.name)}, version={number}) not found"
        )
    return found


def versions_of(model: RegisteredModel) -> Any:
    return model.versions.prefetch_related("tags", "aliases")


def written(project: Project, name: str) -> dict[str, Any]:
    """Write the model as it is stored, with the newest version of each stage."""
    model = find_model(project, name)
    latest = versions_of(model).order_by("stage", "-version").distinct("stage")
    return registry_wire.registered_model(model, latest)


def latest_versions_of(models: list[RegisteredModel]) -> dict[UUID, list[ModelVersion]]:
    """Read the newest version of each stage of all models at once."""
    found: dict[UUID, list[ModelVersion]] = defaultdict(list)
    versions = ModelVersion.objects.filter(registered_model__in=models)
    versions = versions.order_by("registered_model_id", "stage", "-version")
    newest = versions.distinct("registered_model_id", "stage")
    for version in newest.prefetch_related("tags", "aliases"):
        found[version.registered_model_id].append(version)
    return found

"""Model versions: register what a run or a logged model holds, and find it again."""

from __future__ import annotations

from typing import Any

from registry.mlflow import paging, registry_wire, rules, searching
from registry.mlflow.endpoint import endpoint
from registry.mlflow.sources import location_of, source_of
from registry.mlflow.views.models import find_model, find_version
from registry.models import ModelVersion
from registry.search.fields import VERSIONS
from registry.search.searches import Search
from registry.services import versions as services
from tenants.models import Project
from tenants.permissions import Permission

READ, WRITE = Permission.REGISTRY_READ, Permission.REGISTRY_WRITE


@endpoint("POST", "model-versions/create", needs=WRITE)
def create_model_version(
    project: Project,
    *,
    name: str,
    source: str,
    run_id: str = "",
    model_id: str = "",
    tags: list | None = None,
    run_link: str = "",
    description: str = "",
) -> dict[str, Any]:
    registry_wire.check_description(description)
    rules.check_label(run_link, "run_link", rules.MAX_RUN_LINK)
    labels = registry_wire.registry_tags(tags or [])
    origin = source_of(project, source, run_id, model_id)
    model = find_model(project, name)
    made = services.create_version(
        model,
        source=origin.address,
        run=origin.run,
        run_link=run_link,
        logged_model=origin.logged_model,
        package=origin.package,
        description=description,
        tags=labels,
    )
    return {"model_version": registry_wire.model_version(model.name, made)}


@endpoint("GET", "model-versions/get", needs=READ)
def get_model_version(
    project: Project, *, name: str, version: object
) -> dict[str, Any]:
    model = find_model(project, name)
    found = find_version(model, version)
    return {"model_version": registry_wire.model_version(model.name, found)}


@endpoint("GET", "model-versions/search", needs=READ)
def search_model_versions(
    project: Project,
    *,
    filter: str = "",  # noqa: A002 - MLflow's name
    max_results: int = 10_000,
    order_by: list[str] | None = None,
    page_token: str = "",
) -> dict[str, Any]:
    """Take 4 statements for any page, the admission included."""
    limit = rules.page_size(max_results, rules.MAX_VERSIONS_PAGE)
    search = Search.of(VERSIONS, filter, order_by or [])
    request = ("model-versions/search", project.pk, filter, order_by or [])
    after = paging.unseal(page_token, *request)
    rows = ModelVersion.objects.in_project(project.pk)
    rows = rows.select_related("registered_model").prefetch_related("tags", "aliases")
    page = search.page(rows, limit=limit, after=after)

    def write(version: ModelVersion) -> dict[str, Any]:
        return registry_wire.model_version(version.registered_model.name, version)

    return searching.answer("model_versions", page, write, *request)


@endpoint("GET", "model-versions/get-download-uri", needs=READ)
def get_download_uri(project: Project, *, name: str, version: object) -> dict[str, str]:
    found = find_version(find_model(project, name), version)
    return {"artifact_uri": location_of(found)}

"""Workspaces: MLflow's word for the projects of an organization."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from mlops.errors import InvalidInput, NotFound
from registry.mlflow.endpoint import endpoint, reply
from registry.refusals import shown
from registry.services.projects import refuse_unless_empty
from tenants.context import Actor
from tenants.models import Organization, Project
from tenants.permissions import Permission
from tenants.services import projects

READ, WRITE = Permission.ORGANIZATION_READ, Permission.PROJECTS_WRITE
RESTRICT, CASCADE, SET_DEFAULT = "RESTRICT", "CASCADE", "SET_DEFAULT"


@endpoint("GET", "workspaces", needs=READ)
def list_workspaces(actor: Actor) -> dict[str, Any]:
    """All that the caller may see: MLflow knows no pages here."""
    found = Project.objects.visible_to(actor).order_by("slug")
    rows = [workspace(row) for row in found.only("slug", "description")]
    return {"workspaces": rows} if rows else {}


@endpoint("POST", "workspaces", needs=WRITE)
def create_workspace(
    actor: Actor,
    *,
    name: str,
    description: str = "",
    default_artifact_root: str = "",
    trace_archival_config: object = None,
) -> HttpResponse:
    refuse_own_stores(default_artifact_root, trace_archival_config)
    organization = Organization(pk=actor.organization_id, slug=actor.organization)
    made = projects.create_project(organization, slug=name, description=description)
    response = reply({"workspace": workspace(made)})
    response.status_code = 201
    return response


@endpoint("GET", "workspaces/<workspace_name>", needs=READ)
def get_workspace(actor: Actor, *, workspace_name: str) -> dict[str, Any]:
    return {"workspace": workspace(find_workspace(actor, workspace_name))}


@endpoint("PATCH", "workspaces/<workspace_name>", needs=WRITE)
def update_workspace(
    actor: Actor,
    *,
    workspace_name: str,
    description: str | None = None,
    default_artifact_root: str = "",
    trace_archival_config: object = None,
) -> dict[str, Any]:
    refuse_own_stores(default_artifact_root, trace_archival_config)
    if description is None:
        raise InvalidInput("Workspace update must have at least one key")
    project = find_workspace(actor, workspace_name)
    projects.update_project(project, description=description)
    return {"workspace": workspace(project)}


@endpoint("DELETE", "workspaces/<workspace_name>", needs=WRITE)
def delete_workspace(
    actor: Actor, *, workspace_name: str, mode: str = RESTRICT
) -> HttpResponse:
    """Mark it as deleted: an administrator can restore it, with all that it holds."""
    if mode == SET_DEFAULT:
        raise InvalidInput(
            f"mode={SET_DEFAULT}: nothing moves from one workspace to another here."
            f" Use {RESTRICT} or {CASCADE}."
        )
    if mode not in (RESTRICT, CASCADE):
        raise InvalidInput(
            f"Invalid deletion mode '{shown(mode)}'. "
            f"Must be one of: {SET_DEFAULT}, {CASCADE}, {RESTRICT}"
        )
    project = find_workspace(actor, workspace_name)
    if mode == RESTRICT:
        refuse_unless_empty(project)
    projects.delete_project(project)
    return HttpResponse(status=204)


def find_workspace(actor: Actor, name: str) -> Project:
    """Raises NotFound in the same words for a hidden and an absent one."""
    found = Project.objects.visible_to(actor).filter(slug=name).first()
    if found is None:
        raise NotFound(f"Workspace '{shown(name)}' not found")
    return found


def workspace(row: Project) -> dict[str, Any]:
    written = {"name": row.slug}
    return written | {"description": row.description} if row.description else written


def refuse_own_stores(artifact_root: str, archival: object) -> None:
    """Raises InvalidInput: where bytes are kept is the installation's to say."""
    if artifact_root:
        raise InvalidInput(
            f"default_artifact_root='{shown(artifact_root)}': artifacts are kept in"
            " this server's own store; leave it out."
        )
    if archival:
        raise InvalidInput("trace_archival_config: traces are not archived here.")

"""Deployments: which version serves where, from pending to retired."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from mlops.db.uniques import claiming
from mlops.errors import Conflict, InvalidState
from registry.models import Deployment, DeploymentStatus, ModelVersion, VersionStatus
from tenants.context import acting
from tenants.models import Project
from tenants.services import deletion

NOUN = "deployment"
# From a status to those that may follow it.
NEXT: dict[str, set[DeploymentStatus]] = {
    DeploymentStatus.PENDING: {
        DeploymentStatus.ACTIVE,
        DeploymentStatus.FAILED,
        DeploymentStatus.RETIRED,
    },
    DeploymentStatus.ACTIVE: {DeploymentStatus.FAILED, DeploymentStatus.RETIRED},
    DeploymentStatus.FAILED: {DeploymentStatus.ACTIVE, DeploymentStatus.RETIRED},
    DeploymentStatus.RETIRED: {DeploymentStatus.ACTIVE},
}


def create_deployment(
    project: Project,
    *,
    name: str,
    environment: str = "production",
    model_version: ModelVersion | None = None,
    status: DeploymentStatus = DeploymentStatus.PENDING,
    endpoint_url: str = "",
    metadata: dict[str, Any] | None = None,
) -> Deployment:
    """Raises AlreadyExists when name and environment are those of a live one."""
    deployment = Deployment(
        organization_id=project.organization_id,
        project=project,
        name=name,
        environment=environment,
        endpoint_url=endpoint_url,
        metadata=metadata or {},
        created_by=acting().id,
    )
    _serve(deployment, model_version)
    _enter(deployment, status)
    with claiming(NOUN, name=name, environment=environment):
        deployment.save(force_insert=True)
    return deployment


def update_deployment(deployment: Deployment, **changes: Any) -> Deployment:
    """Change any field of create_deployment; another `model_version` replaces one.

    Raises InvalidState for a status that may not follow the present one.
    """
    _read_anew(deployment)
    deletion.refuse_deleted(deployment)
    if "model_version" in changes:
        _serve(deployment, changes.pop("model_version"))
    if "status" in changes:
        _enter(deployment, changes.pop("status"))
    for field, value in changes.items():
        setattr(deployment, field, value)
    with claiming(NOUN, name=deployment.name, environment=deployment.environment):
        deployment.save()
    return deployment


def delete_deployment(deployment: Deployment) -> None:
    """Mark it; its points, reports and alerts stay readable."""
    _read_anew(deployment)
    if deployment.deleted_at is None:
        deletion.put(deployment, deletion.new_mark(deployment))


def restore_deployment(deployment: Deployment) -> Deployment:
    """Raises Conflict when another live one has its name in its environment."""
    _read_anew(deployment)
    if deployment.deleted_at is not None:
        deletion.refuse_orphan(deployment.model_version)
        _refuse_taken_name(deployment)
        with claiming(NOUN, name=deployment.name, environment=deployment.environment):
            deletion.restore(deployment)
    return deployment


def _refuse_taken_name(deployment: Deployment) -> None:
    siblings = Deployment.objects.in_project(deployment.project_id)
    twin = siblings.filter(
        name=deployment.name, environment=deployment.environment
    ).first()
    if twin is not None:
        free = deletion.free_name(deployment.name, siblings, longest=200)
        raise Conflict(
            f"Name {deployment.name!r} of the deleted deployment {deployment.pk}"
            f" belongs to deployment {twin.pk} in {deployment.environment} now. Rename"
            f" that one, for example to {free!r}, then restore."
        )


def _read_anew(deployment: Deployment) -> None:
    """Wait for whoever changes it, so that two changes of status follow each other."""
    deployment.refresh_from_db(
        from_queryset=Deployment.objects.with_deleted().select_for_update(no_key=True)
    )


def _serve(deployment: Deployment, version: ModelVersion | None) -> None:
    if version is not None:
        deletion.refuse_deleted(version)
        if version.status != VersionStatus.READY:
            raise InvalidState(f"Version {version.version} is not ready yet.")
    deployment.model_version = version


def _enter(deployment: Deployment, status: DeploymentStatus) -> None:
    """Change the status, and note when serving began and ended."""
    if status == deployment.status:
        return
    if status not in NEXT[deployment.status]:
        wanted = ", ".join(sorted(NEXT[deployment.status]))
        raise InvalidState(
            f"status={status!s}: a deployment that is {deployment.status} can become"
            f" {wanted}."
        )
    deployment.status = status
    if status == DeploymentStatus.ACTIVE:
        deployment.deployed_at, deployment.retired_at = timezone.now(), None
    if status == DeploymentStatus.RETIRED:
        deployment.retired_at = timezone.now()

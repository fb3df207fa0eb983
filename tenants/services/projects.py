"""Projects: the workspaces of an organization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops.db.uniques import claiming
from tenants.models import DefaultRole, DuplicateFiles, Organization, Project
from tenants.services import deletion
from tenants.services.slugs import checked_slug

NOUN = "project"
# Aliases that a new project protects, as the stage Production always is.
PROTECTED = ("production",)


def create_project(
    organization: Organization,
    *,
    slug: str,
    name: str = "",
    description: str = "",
    default_role: str = DefaultRole.NONE,
    switched_off: Sequence[str] = (),
    protected_aliases: Sequence[str] = PROTECTED,
    viewers_download: bool = True,
    duplicate_files: str = DuplicateFiles.ALLOW,
    storage_limit_bytes: int | None = None,
    storage_limit_files: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Project:
    """Make a project; a trigger gives it experiment 0, "Default".

    Raises AlreadyExists for a slug in use, be it by a deleted project.
    """
    project = Project(
        organization=organization,
        slug=checked_slug(slug),
        name=name or slug,
        description=description,
        default_role=default_role,
        switched_off=list(switched_off),
        protected_aliases=list(protected_aliases),
        viewers_download=viewers_download,
        duplicate_files=duplicate_files,
        storage_limit_bytes=storage_limit_bytes,
        storage_limit_files=storage_limit_files,
        metadata=metadata or {},
    )
    with claiming(NOUN, slug=slug):
        project.save(force_insert=True)
    return project


def update_project(project: Project, **changes: Any) -> Project:
    """Change anything but the slug, which is the address and stays."""
    deletion.refuse_deleted(project)
    for field, value in changes.items():
        setattr(project, field, value)
    project.save(update_fields=[*changes, "updated_at"])
    return project


def delete_project(project: Project) -> None:
    """Mark it; nothing below is marked, since all of it is out of reach with it."""
    if project.deleted_at is None:
        deletion.put(project, deletion.new_mark(project))


def restore_project(project: Project) -> Project:
    """Bring it back under its old address, which nobody else could take."""
    if project.deleted_at is not None:
        deletion.restore(project)
    return project

"""What packages hold against what they may: limits of projects and organizations.

Triggers on package_files and packages count, in the transaction of the change. Whoever
has stored a file holds its project's counter until the end, so the look at it comes
afterwards and nobody comes between.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Sum

from mlops.errors import Conflict, NotFound, TooLarge
from registry.models import Package, PackageFile
from registry.sql import storage_usage as sql
from registry.sql.packages import Attached
from registry.sql.storage_usage import Compared, Held
from tenants.models import Project


class NoRoom(TooLarge):
    """The file does not fit into what packages may hold."""

    code = "quota_exceeded"


class TooManyFiles(Conflict):
    """Packages hold as many files as they may."""

    code = "quota_exceeded"


@dataclass(frozen=True, slots=True)
class Room:
    """What is held and may be held in one place; None means no limit."""

    place: str
    size_bytes: int
    file_count: int
    limit_bytes: int | None
    limit_files: int | None

    def refuse(self, more_bytes: int, more_files: int) -> None:
        """Raises NoRoom or TooManyFiles when so much more does not fit."""
        if self.limit_bytes is not None and more_bytes > 0:
            if self.size_bytes + more_bytes > self.limit_bytes:
                raise NoRoom(
                    f"{more_bytes} more bytes do not fit: the packages of this"
                    f" {self.place} hold {self.size_bytes} of {self.limit_bytes}"
                    " bytes. Delete what is not needed, or have the limit raised."
                )
        if self.limit_files is not None and more_files > 0:
            if self.file_count + more_files > self.limit_files:
                raise TooManyFiles(
                    f"The packages of this {self.place} hold {self.file_count} of"
                    f" {self.limit_files} files. Delete what is not needed, or have"
                    " the limit raised."
                )


@dataclass(frozen=True, slots=True)
class Storage:
    """The room of a project, and of all projects of its organization together."""

    project: Room
    organization: Room

    def refuse(self, more_bytes: int, more_files: int) -> None:
        self.project.refuse(more_bytes, more_files)
        self.organization.refuse(more_bytes, more_files)


def limit(own: int | None, name: str) -> int | None:
    """A row's own limit, else the installation's, where 0 means that there is none."""
    return own if own is not None else settings.STORAGE_LIMITS[name] or None


def is_everybody_limited() -> bool:
    """Whether the installation limits those who have no limit of their own."""
    return any(settings.STORAGE_LIMITS.values())


def storage_of(project: Project) -> Storage:
    held = sql.read(project.organization_id, project.pk)
    if held is None:
        raise NotFound("No such project.")
    return Storage(*rooms_of(held))


def rooms_of(held: Held) -> tuple[Room, Room]:
    return (
        Room(
            "project",
            held.project_bytes,
            held.project_files,
            limit(held.project_limit_bytes, "project_bytes"),
            limit(held.project_limit_files, "project_files"),
        ),
        Room(
            "organization",
            held.organization_bytes,
            held.organization_files,
            limit(held.organization_limit_bytes, "organization_bytes"),
            limit(held.organization_limit_files, "organization_files"),
        ),
    )


def refuse_excess(package: Package, attached: Attached, size_bytes: int) -> None:
    """Raises NoRoom or TooManyFiles when a stored file is one too many.

    Costs nothing where no limit is set, one statement where the project has one.
    """
    more_bytes = size_bytes - (attached.former_bytes or 0)
    more_files = 1 if attached.former_bytes is None else 0
    of_organization = _are_set(
        limit(attached.organization_bytes, "organization_bytes"),
        limit(attached.organization_files, "organization_files"),
    )
    of_project = _are_set(
        limit(attached.project_bytes, "project_bytes"),
        limit(attached.project_files, "project_files"),
    )
    if not (of_organization or of_project):
        return
    if more_bytes <= 0 and more_files <= 0:
        return
    if of_organization:
        sql.wait_for_organization(package.organization_id)
    _refuse_held(package.organization_id, package.project_id, more_bytes, more_files)


def refuse_returned(package: Package) -> None:
    """Raises NoRoom or TooManyFiles when a restored package is one too many."""
    files = PackageFile.objects.filter(
        organization_id=package.organization_id, package_id=package.pk
    )
    more = files.aggregate(bytes=Sum("size_bytes", default=0), files=Count("pk"))
    sql.wait_for_organization(package.organization_id)
    _refuse_held(
        package.organization_id, package.project_id, more["bytes"], more["files"]
    )


def _refuse_held(
    organization: UUID, project: UUID, more_bytes: int, more_files: int
) -> None:
    """Refuse what the counters hold already, saying what they held before."""
    held = sql.read(organization, project)
    assert held, "a file of the project was stored"
    for room in rooms_of(held):
        before = Room(
            room.place,
            room.size_bytes - more_bytes,
            room.file_count - more_files,
            room.limit_bytes,
            room.limit_files,
        )
        before.refuse(more_bytes, more_files)


def _are_set(*limits: int | None) -> bool:
    return any(each is not None for each in limits)


# Proof of the counters


def compare(
    using: str, *, organization: str | None = None, project: str | None = None
) -> list[Compared]:
    """Return the projects, by address, with what is counted and what is there."""
    return sql.compare(using, organization, project)


def recount(row: Compared) -> None:
    """Put the counters of a project right, inside a transaction."""
    sql.recount(row)

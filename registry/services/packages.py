"""Packages and their files: attach, remove. The bytes are in the store before."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from mlops.db.uniques import claiming
from mlops.errors import Conflict, InvalidInput, NotFound, TooLarge, Unavailable
from registry import relations
from registry.models import (
    ModelVersion,
    Package,
    PackageFile,
    PackageStatus,
    PackageType,
    Run,
)
from registry.services import protection, storage_usage
from registry.services.runs import refuse_deleted
from registry.services.storage_usage import NoRoom, TooManyFiles
from registry.sql import packages as sql
from registry.storage import ArtifactKey, StoredBlob
from tenants.context import acting
from tenants.models import Project
from tenants.services import deletion

# What people may say of a package; the others say what becomes of it.
CHOSEN_STATUSES = (
    PackageStatus.DEFAULT,
    PackageStatus.HIDDEN,
    PackageStatus.DEPRECATED,
)
# Each of two races is lost at most once: the second look sees what the other stored.
TRIES = 3


@transaction.atomic
def attach_file(run: Run, *, key: ArtifactKey, blob: StoredBlob) -> Package:
    """Put `blob` at `key` of the run's package, in the place of what stands there.

    The first file makes the package. Raises InvalidInput when the run is deleted, or
    when a file stands where the key needs a folder or the other way round.
    """
    refuse_deleted(run)
    project = Project(pk=run.project_id, organization_id=run.organization_id)
    package = open_package(
        project, relations.name_of(run), relations.VERSION, PackageType.CANDIDATE
    )
    attach_to(package, key=key, blob=blob)
    run.package = package
    return package


def open_package(
    project: Project,
    name: str,
    version: str,
    kind: PackageType,
    *,
    status: PackageStatus = PackageStatus.DEFAULT,
) -> Package:
    """Return the live package of that name and version, locked; make it if need be.

    Inside a transaction. Writers of one package wait for each other, those of two
    never.
    """
    named = {
        "organization_id": project.organization_id,
        "project_id": project.pk,
        "name": name,
        "version": version,
    }
    packages = Package.objects.live().filter(**named).select_for_update(no_key=True)
    for _ in range(TRIES):
        if package := packages.first():
            return package
        made = Package(**named, type=kind, status=status, created_by=acting().id)
        # Two may do so at once: the index on live names lets one row in.
        Package.objects.bulk_create([made], ignore_conflicts=True)
    raise Conflict(f"The package {name} {version} is not open for files.")


def attach_to(package: Package, *, key: ArtifactKey, blob: StoredBlob) -> None:
    """Put `blob` at `key` of a package that open_package() has locked.

    Raises InvalidInput when a file stands where the key needs a folder or the other
    way round, Forbidden by a protection rule, Conflict over a file that a version in
    Production has, and NoRoom or TooManyFiles beyond a limit.
    """
    out_of_reach = protection.roles_out_of_reach(acting())
    for _ in range(TRIES):
        attached = sql.attach(package, key, blob, out_of_reach)
        if attached.clash:
            raise InvalidInput(
                f"'{key}' cannot be stored beside '{attached.clash}': "
                "a path is either a file or a folder."
            )
        if attached.pattern and attached.push_role:
            raise protection.protected(
                package, "Uploading to", attached.pattern, attached.push_role
            )
        if attached.promoted:
            raise protection.in_production(package, attached.promoted)
        if attached.blob:
            storage_usage.refuse_excess(package, attached, blob.size_bytes)
            return
    raise Unavailable


def refuse_upload(
    project: Project,
    package: UUID | None,
    key: ArtifactKey,
    size_bytes: int,
    *,
    is_limited: bool = True,
) -> None:
    """Raises NoRoom or TooManyFiles, before the bytes are read, as attach_to() would.

    `package` is where the file will lie, if there is such a package yet. Costs nothing
    where neither the place (`is_limited`) nor the installation has a limit.
    """
    if not (is_limited or storage_usage.is_everybody_limited()):
        return
    storage = storage_usage.storage_of(project)
    try:
        storage.refuse(size_bytes, 1)
    except (NoRoom, TooManyFiles):
        former = _size_of(package, key)
        if former is None:
            raise
        storage.refuse(size_bytes - former, 0)


def _size_of(package: UUID | None, key: ArtifactKey) -> int | None:
    if package is None:
        return None
    files = PackageFile.objects.filter(package_id=package, path=key.path)
    return files.values_list("size_bytes", flat=True).first()


def remove_files(run: Run, *, key: ArtifactKey) -> int:
    """Remove the file at `key`, or all files below it; return how many there were.

    The blobs stay for the sweep. Raises InvalidInput when the run is deleted.
    """
    refuse_deleted(run)
    return remove_from(relations.packages_of([run]), key=key)


@transaction.atomic
def remove_from(packages: QuerySet[Package], *, key: ArtifactKey) -> int:
    """Remove from the one package of the query set, if there is one; see above.

    Raises Forbidden by a protection rule, Conflict when a version in Production has
    the files.
    """
    package = packages.select_for_update(no_key=True).first()
    if package is None:
        return 0
    protection.refuse_delete(package)
    at_key = Q(path=key.path) | Q(path__startswith=f"{key.path}/")
    files = PackageFile.objects.filter(at_key, package=package)
    removed, _ = files.delete()
    return removed


@transaction.atomic
def remove_file(package: Package, file: PackageFile) -> None:
    """Remove one file. Raises Forbidden by a rule, Conflict for one in Production."""
    Package.objects.select_for_update(no_key=True).get(pk=package.pk)
    protection.refuse_delete(package)
    PackageFile.objects.filter(pk=file.pk).delete()


# The packages themselves


@transaction.atomic
def update_package(package: Package, **changes: Any) -> Package:
    """Change `status` or `metadata`; name, version and project stay.

    Raises Forbidden by a protection rule.
    """
    deletion.refuse_deleted(package)
    protection.refuse_push(package)
    for field, value in changes.items():
        setattr(package, field, value)
    package.save(update_fields=[*changes, "updated_at"])
    return package


@transaction.atomic
def delete_package(package: Package) -> None:
    """Mark it for destruction; its name is free, and it can come back until then.

    Raises Forbidden by a protection rule, Conflict when a model version has its files.
    """
    if package.deleted_at is not None:
        return
    package = (
        Package.objects.with_deleted().select_for_update(no_key=True).get(pk=package.pk)
    )
    if package.deleted_at is not None:
        return
    protection.refuse_delete(package)
    refuse_registered(package)
    package.former_status = package.status
    package.status = PackageStatus.PENDING_DESTRUCTION
    mark(package, deletion.new_mark(package))


def refuse_registered(package: Package) -> None:
    versions = ModelVersion.objects.filter(
        organization_id=package.organization_id,
        project_id=package.project_id,
        package_id=package.pk,
    )
    if version := versions.select_related("registered_model").first():
        raise Conflict(
            f"{version.registered_model.name} version {version.version} is registered"
            f" with the files of {package.name}; delete the version first."
        )


@transaction.atomic
def restore_package(package: Package) -> Package:
    """Bring it back as it was.

    Raises Conflict when another one has its name by now, NoRoom or TooManyFiles when
    its files do not fit any more.
    """
    if package.deleted_at is None:
        return package
    deletion.refuse_purged(package)
    _refuse_taken_name(package)
    package.status = package.former_status or PackageStatus.DEFAULT
    package.former_status = ""
    with claiming("package", name=package.name, version=package.version):
        mark(package, deletion.UNMARKED)
    storage_usage.refuse_returned(package)
    return package


def _refuse_taken_name(package: Package) -> None:
    """Names never change, so there is none to suggest."""
    siblings = Package.objects.in_project(package.project_id)
    holders = siblings.exclude(status=PackageStatus.PENDING_DESTRUCTION)
    twin = holders.filter(name=package.name, version=package.version).first()
    if twin is not None:
        raise Conflict(
            f"Name {package.name!r} version {package.version!r} of the deleted package"
            f" {package.pk} belongs to package {twin.pk} now. Delete that one, then"
            " restore."
        )


def mark(package: Package, marks: deletion.Mark) -> None:
    """One update for mark and status: one entry in the trail."""
    for name, value in marks.items():
        setattr(package, name, value)
    package.save(
        update_fields=["status", "former_status", *deletion.FIELDS, "updated_at"]
    )


# What a whole package or folder holds


class FileRow(NamedTuple):
    """A file as archives and manifests need it: no object for each of thousands."""

    path: str
    size_bytes: int
    sha256: str
    updated_at: datetime


# An archive names each file at its end, and a manifest is read as a whole.
MOST_FILES = 50_000


def files_below(package: Package, folder: str) -> list[FileRow]:
    """Return all files of the folder, of the package for "", by path.

    Raises NotFound for a folder that is none, TooLarge beyond MOST_FILES.
    """
    files = PackageFile.objects.filter(
        organization_id=package.organization_id, package_id=package.pk
    )
    if folder:
        files = files.filter(path__startswith=f"{folder}/")
    rows = files.order_by("path").values_list(*FileRow._fields)[: MOST_FILES + 1]
    found = [FileRow(*row) for row in rows]
    if folder and not found:
        raise NotFound(f"No such folder: '{folder}'.")
    if len(found) > MOST_FILES:
        raise TooLarge(
            f"There are more than {MOST_FILES} files; take one folder after the other."
        )
    return found

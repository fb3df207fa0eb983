"""Files of a candidate: attach, remove. The bytes are in the store before."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q

from mlops.errors import Conflict, InvalidInput, Unavailable
from registry import relations
from registry.models import Package, PackageFile, PackageType, Run
from registry.services.runs import refuse_deleted
from registry.sql import packages as sql
from registry.storage import ArtifactKey, StoredBlob
from tenants.context import acting

# Each of two races is lost at most once: the second look sees what the other stored.
TRIES = 3


@transaction.atomic
def attach_file(run: Run, *, key: ArtifactKey, blob: StoredBlob) -> Package:
    """Put `blob` at `key` of the run's package, in the place of what stands there.

    The first file makes the package. Raises InvalidInput when the run is deleted, or
    when a file stands where the key needs a folder or the other way round.
    """
    refuse_deleted(run)
    package = lock_package(run)
    for _ in range(TRIES):
        attached = sql.attach(package, key, blob)
        if attached.clash:
            raise InvalidInput(
                f"'{key}' cannot be stored beside '{attached.clash}': "
                "a path is either a file or a folder."
            )
        if attached.blob:
            run.package = package
            return package
    raise Unavailable


def lock_package(run: Run) -> Package:
    """Return the run's package, locked; make it when there is none.

    Writers of one package wait for each other, those of two runs never.
    """
    packages = relations.packages_of([run]).select_for_update(no_key=True)
    for _ in range(TRIES):
        if package := packages.first():
            return package
        # Two may do so at once: the index on live names lets one row in.
        Package.objects.bulk_create([new_package(run)], ignore_conflicts=True)
    raise Conflict(f"The package {relations.name_of(run)} is not open for files.")


def new_package(run: Run) -> Package:
    return Package(
        organization_id=run.organization_id,
        project_id=run.project_id,
        name=relations.name_of(run),
        version=relations.VERSION,
        type=PackageType.CANDIDATE,
        created_by=acting().id,
    )


@transaction.atomic
def remove_files(run: Run, *, key: ArtifactKey) -> int:
    """Remove the file at `key`, or all files below it; return how many there were.

    The blobs stay for the sweep. Raises InvalidInput when the run is deleted.
    """
    refuse_deleted(run)
    package = relations.packages_of([run]).select_for_update(no_key=True).first()
    if package is None:
        return 0
    at_key = Q(path=key.path) | Q(path__startswith=f"{key.path}/")
    files = PackageFile.objects.filter(at_key, package=package)
    removed, _ = files.delete()
    return removed

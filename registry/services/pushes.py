"""Files that people put into packages by name: what is asked twice, and stored once.

Once before the bytes are read, so that nobody sends a gigabyte in vain, and once more
in the transaction that stores the row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import transaction

from mlops.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed
from registry import relations
from registry.models import Package, PackageFile, PackageStatus, PackageType, Run
from registry.services import packages, protection
from registry.services.runs import refuse_deleted
from registry.storage import ArtifactKey, StoredBlob
from tenants.models import DuplicateFiles, Project

# Letters, digits and what stands between them in the names of all registries.
NAME = re.compile(r"[A-Za-z0-9._+~@-]{1,255}")
CANDIDATE = re.compile(rf"{relations.PREFIX}(0|[1-9][0-9]{{0,17}})")
# What somebody may say of a new package.
PUSHED_TYPES = (PackageType.GENERIC, PackageType.MODEL)
PUSHED_STATUSES = (PackageStatus.DEFAULT, PackageStatus.HIDDEN)


@dataclass(frozen=True, slots=True)
class Push:
    """Where a file is to lie, and what its sender expects to find there.

    `match` and `none_match` hold the tags of If-Match and If-None-Match.
    """

    name: str
    version: str
    key: ArtifactKey
    kind: PackageType | None = None
    status: PackageStatus | None = None
    match: tuple[str, ...] = ()
    none_match: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pushed:
    package: Package
    file: PackageFile
    is_new: bool


def checked_name(parameter: str, text: str) -> str:
    if not NAME.fullmatch(text) or not text.strip("."):
        raise InvalidInput(
            f"{parameter}={text[:50]!r}: use 1 to 255 letters, digits and . _ - + ~ @,"
            " not dots alone."
        )
    return text


def refuse_in_vain(
    project: Project, push: Push, *, size_bytes: int | None, sha256: str | None
) -> None:
    """Raises what store_push() would, as far as it can be told without the bytes."""
    package = planned_package(project, push)
    found = find_package(project, push.name, push.version)
    if found is None:
        refuse_expectations(push, None)
    else:
        refuse_other_kind(found, push)
        former = find_file(found, push.key)
        refuse_expectations(push, former)
        if sha256 is not None:
            refuse_duplicate(project, former, push.key, sha256)
    protection.refuse_push(found or package)
    key = found.pk if found else None
    packages.refuse_upload(project, key, push.key, size_bytes or 0)


@transaction.atomic
def store_push(project: Project, push: Push, blob: StoredBlob) -> Pushed:
    """Attach the file; the first one makes its package.

    Raises PreconditionFailed when something else stands there than expected, and what
    attach_to() raises.
    """
    kind = planned_package(project, push).type
    package = packages.open_package(
        project,
        push.name,
        push.version,
        PackageType(kind),
        status=push.status or PackageStatus.DEFAULT,
    )
    refuse_other_kind(package, push)
    former = find_file(package, push.key)
    refuse_expectations(push, former)
    refuse_duplicate(project, former, push.key, blob.sha256)
    packages.attach_to(package, key=push.key, blob=blob)
    file = PackageFile.objects.get(package_id=package.pk, path=push.key.path)
    return Pushed(package, file, is_new=former is None)


def planned_package(project: Project, push: Push) -> Package:
    """Return the package that the push would make. Raises when nobody may make it."""
    checked_name("name", push.name)
    checked_name("version", push.version)
    return Package(
        organization_id=project.organization_id,
        project_id=project.pk,
        name=push.name,
        version=push.version,
        type=kind_of(project, push),
        status=push.status or PackageStatus.DEFAULT,
    )


def kind_of(project: Project, push: Push) -> PackageType:
    lowered = push.name.lower()
    if lowered.startswith(relations.MODEL_PREFIX):
        raise Forbidden(
            f"Names that begin with {relations.MODEL_PREFIX} belong to logged models;"
            " upload their files by MLflow's addresses."
        )
    if lowered.startswith(relations.PREFIX):
        refuse_without_run(project, push)
        return PackageType.CANDIDATE
    if push.kind == PackageType.CANDIDATE:
        raise InvalidInput(
            f"type='candidate': the package of a run is called {relations.PREFIX}<its"
            " number>."
        )
    return push.kind or PackageType.GENERIC


def refuse_without_run(project: Project, push: Push) -> None:
    """A candidate's name is a run's: nobody claims it before, nor after its deletion.

    Raises NotFound without such a run, InvalidInput for another version or type.
    """
    found = CANDIDATE.fullmatch(push.name)
    if found is None:
        raise InvalidInput(
            f"name={push.name[:50]!r}: names that begin with {relations.PREFIX} belong"
            " to runs; a run's package ends in its number."
        )
    if push.version != relations.VERSION or push.kind not in (
        None,
        PackageType.CANDIDATE,
    ):
        raise InvalidInput(
            f"The package of a run has version {relations.VERSION!r} and type"
            " 'candidate'."
        )
    run = (
        Run.objects.with_deleted()
        .in_project(project.pk)
        .filter(iid=int(found[1]))
        .first()
    )
    if run is None:
        raise NotFound(f"There is no run number {found[1]} in this project.")
    refuse_deleted(run)


def find_package(project: Project, name: str, version: str) -> Package | None:
    live = Package.objects.live().in_project(project.pk)
    return live.filter(
        organization_id=project.organization_id, name=name, version=version
    ).first()


def find_file(package: Package, key: ArtifactKey) -> PackageFile | None:
    files = PackageFile.objects.filter(
        organization_id=package.organization_id, package_id=package.pk
    )
    return files.filter(path=key.path).first()


def fetch_file(
    project: Project, name: str, version: str, key: ArtifactKey
) -> tuple[Package, PackageFile]:
    """Raises NotFound in the same words, whatever it is that is not there."""
    package = find_package(project, name, version)
    file = find_file(package, key) if package else None
    if package is None or file is None:
        raise NotFound(f"No such file: {name[:255]} {version[:255]} '{key}'.")
    return package, file


def refuse_other_kind(package: Package, push: Push) -> None:
    if push.kind not in (None, package.type):
        raise Conflict(f"{package} has the type {package.type!r}, which stays.")
    if push.status not in (None, package.status):
        raise Conflict(
            f"{package} has the status {package.status!r}; change it by PATCH."
        )


def refuse_expectations(push: Push, former: PackageFile | None) -> None:
    tag = f'"{former.sha256}"' if former else ""
    if push.match and not (former and ("*" in push.match or tag in push.match)):
        there = f"a file with the tag {tag}" if former else "no file"
        raise PreconditionFailed(f"If-Match: there is {there} at '{push.key}'.")
    if push.none_match and former and {"*", tag} & {*push.none_match}:
        raise PreconditionFailed(
            f"If-None-Match: there is a file with the tag {tag} at '{push.key}'."
        )


def refuse_duplicate(
    project: Project, former: PackageFile | None, key: ArtifactKey, sha256: str
) -> None:
    """The same bytes once more are no duplicate: a client only did not hear of it."""
    if former is None or former.sha256 == sha256:
        return
    policies = Project.objects.filter(pk=project.pk).values_list("duplicate_files")
    if policies.filter(duplicate_files=DuplicateFiles.DENY).exists():
        raise Conflict(
            f"There is another file at '{key}', and this project does not replace"
            " files. Use another version or path, or delete the file first."
        )

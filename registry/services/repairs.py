"""Putting right what registry.services.reconcile has found, one thing at a time.

Each repair looks again under a lock, since the survey may be an hour old, and loses
nothing that was not lost before: what stands under a wrong name moves to one of its
own, and what belongs to nobody is marked, to be destroyed when its grace is over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from registry import relations
from registry.models import (
    Blob,
    LoggedModel,
    ModelVersion,
    Package,
    PackageFile,
    PackageStatus,
    PackageType,
    Run,
)
from registry.services.reconcile import Discrepancy, Kind, current
from registry.storage import blob_name
from registry.storage.inventory import modified_at, remove_blob, remove_stray
from tenants.context import acting
from tenants.services.deletion import new_mark


def repair(found: Discrepancy, *, before: datetime) -> bool:
    """Put it right inside the caller's transaction; False when it is right by now.

    Bytes that were stored after `before` are left alone.
    """
    return REPAIRS[found.kind](found, before)


def lock_package(found: Discrepancy) -> Package | None:
    return current().select_for_update(of=["self"]).filter(pk=found.row).first()


def mark(found: Discrepancy, before: datetime) -> bool:
    """What a model version refers to is never destroyed; it moves instead."""
    package = lock_package(found)
    if package is None:
        return False
    if ModelVersion.objects.with_deleted().filter(package=package).exists():
        return move_aside(found, before)
    Package.objects.filter(pk=package.pk).update(
        **new_mark(package),
        status=PackageStatus.PENDING_DESTRUCTION,
        former_status=package.status,
        updated_at=timezone.now(),
    )
    return True


def put_type_right(found: Discrepancy, before: datetime) -> bool:
    """Where its owner is there, only the type was wrong; else the name is foreign."""
    package = lock_package(found)
    if package is None:
        return False
    kind = type_by_name(package)
    if package.version == relations.VERSION and kind and owner_exists(package):
        package.type = kind
        package.save(update_fields=["type", "updated_at"])
        return True
    return move_aside(found, before)


def type_by_name(package: Package) -> PackageType | None:
    if package.name.startswith(relations.PREFIX):
        return PackageType.CANDIDATE
    is_model = package.name.startswith(relations.MODEL_PREFIX)
    return PackageType.MODEL if is_model else None


def owner_exists(package: Package) -> bool:
    prefix, _, key = package.name.rpartition("_")
    if f"{prefix}_" == relations.PREFIX:
        runs = Run.objects.with_deleted().filter(project_id=package.project_id)
        return key.isdecimal() and runs.filter(iid=int(key)).exists()
    models = LoggedModel.objects.with_deleted().filter(project_id=package.project_id)
    return models.filter(pk=UUID(key)).exists()


def move_aside(found: Discrepancy, before: datetime) -> bool:
    """Give the files a package under a name of their own; names never change.

    The row that bore the wrong name goes for good, as some of these names are against
    the constraints, under which such a row cannot even be marked.
    """
    package = lock_package(found)
    if package is None:
        return False
    moved = Package(
        organization_id=package.organization_id,
        project_id=package.project_id,
        name=f"recovered-{package.pk.hex}",
        version=package.version,
        type=PackageType.GENERIC,
        status=package.status,
        metadata={**package.metadata, "recovered_from": package.name},
        created_by=acting().id,
    )
    moved.save(force_insert=True)
    PackageFile.objects.filter(package=package).update(package=moved)
    ModelVersion.objects.with_deleted().filter(package=package).update(package=moved)
    Package.objects.filter(pk=package.pk).delete()
    return True


def make_empty(found: Discrepancy, before: datetime) -> bool:
    """Nobody can bring the files back; the loss stays on record, and uploads go on."""
    kind, owners = (
        (PackageType.CANDIDATE, Run)
        if found.kind == Kind.RUN_WITHOUT_PACKAGE
        else (PackageType.MODEL, LoggedModel)
    )
    owner = owners._default_manager.filter(pk__in=[found.row]).first()
    if owner is None:
        return False
    package = Package(
        organization_id=owner.organization_id,
        project_id=owner.project_id,
        name=owner.package_name,
        version=relations.VERSION,
        type=kind,
        metadata={"reconciled": "made empty: files were logged, and there were none"},
        created_by=acting().id,
    )
    held = current().filter(
        project_id=package.project_id, name=package.name, version=package.version
    )
    if held.exists():
        return False
    Package.objects.bulk_create([package], ignore_conflicts=True)
    return True


def forget_lost_bytes(found: Discrepancy, before: datetime) -> bool:
    """Remove the files whose bytes are gone; the audit trail says which they were."""
    blob = Blob.objects.select_for_update().filter(sha256=found.name).first()
    if blob is None or modified_at(blob_name(found.organization, blob.sha256)):
        return False
    PackageFile.objects.filter(blob=blob).delete()
    Blob.objects.filter(pk=blob.pk).delete()
    return True


def remove_bytes(found: Discrepancy, before: datetime) -> bool:
    """A row stands in for the missing one while the bytes go, as a lock."""
    sha256 = "".join(found.name.split("/")[1:])
    if len(sha256) != 64 or found.name != blob_name(found.organization, sha256):
        return remove_stray(found.name, before=before)
    claim = Blob(organization_id=found.organization, sha256=sha256, size_bytes=0)
    Blob.objects.bulk_create([claim], ignore_conflicts=True)
    if not Blob.objects.filter(pk=claim.pk).exists():
        return False
    removed = remove_blob(found.organization, sha256, before=before)
    Blob.objects.filter(pk=claim.pk).delete()
    return removed


REPAIRS: dict[Kind, Callable[[Discrepancy, datetime], bool]] = {
    Kind.RUN_WITHOUT_PACKAGE: make_empty,
    Kind.MODEL_WITHOUT_PACKAGE: make_empty,
    Kind.PACKAGE_WITHOUT_RUN: mark,
    Kind.PACKAGE_WITHOUT_MODEL: mark,
    Kind.FOREIGN_NAME: put_type_right,
    Kind.MALFORMED_NAME: move_aside,
    Kind.DUPLICATE: move_aside,
    Kind.ROW_WITHOUT_BLOB: forget_lost_bytes,
    Kind.BLOB_WITHOUT_ROW: remove_bytes,
}

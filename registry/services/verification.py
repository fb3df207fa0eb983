"""Whether bytes are still what they were: read again and hashed, blob by blob."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import storages

from registry.models import Blob, PackageFile
from registry.services.scopes import Scope
from registry.storage import CHUNK_BYTES, blob_name

BATCH = 200
FILES_NAMED = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """One blob that was read; `reason` says what is wrong with it, if anything is."""

    key: UUID
    sha256: str
    size_bytes: int
    reason: str = ""


def next_blobs(scope: Scope, after: str, limit: int) -> list[Blob]:
    """Blobs in the order of their digests; of a project, those its files refer to."""
    blobs = Blob.objects.filter(sha256__gt=after).order_by("sha256")
    if scope.project:
        files = PackageFile.objects.filter(package__project_id=scope.project)
        blobs = blobs.filter(pk__in=files.values("blob_id"))
    return list(blobs[:limit])


def random_place() -> str:
    """Where a sample begins: digests are spread evenly, so any stretch is one."""
    return secrets.token_hex(32)


def read(blob: Blob) -> Reading:
    """Read and hash it; outside of a transaction, as it may take minutes."""
    store, digest, size = storages["blobs"], hashlib.sha256(), 0
    try:
        with store.open(blob_name(blob.organization_id, blob.sha256)) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except (OSError, SuspiciousFileOperation) as error:
        reason = f"cannot be read: {type(error).__name__}"
        return Reading(blob.pk, blob.sha256, size, reason)
    if size != blob.size_bytes:
        reason = f"has {size} of {blob.size_bytes} bytes"
        return Reading(blob.pk, blob.sha256, size, reason)
    if digest.hexdigest() != blob.sha256:
        return Reading(blob.pk, blob.sha256, size, "has another digest")
    return Reading(blob.pk, blob.sha256, size)


def is_still_wrong(reading: Reading) -> bool:
    """A blob that was swept meanwhile was nobody's."""
    return Blob.objects.filter(pk=reading.key).exists()


def files_of(reading: Reading) -> Iterator[dict[str, str]]:
    files = PackageFile.objects.filter(blob_id=reading.key).order_by("pk")
    for file in files.select_related("package__project")[:FILES_NAMED]:
        yield {
            "project": file.package.project.slug,
            "package": file.package.name,
            "version": file.package.version,
            "path": file.path,
        }

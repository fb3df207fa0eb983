"""Uploads in parts: begin, take parts, join them, give up, sweep what was forgotten.

Rows and bytes are kept apart: no transaction is open while bytes flow, so each step
says which of both it does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from mlops.errors import InvalidInput, LimitExceeded, NotFound, TooLarge
from registry.models import MAX_PARTS, MultipartUpload, UploadPart
from registry.services.storage_usage import storage_of
from registry.storage import StoredBlob, put_blob
from registry.storage.direct import bucket, direct_store, join_direct
from registry.storage.parts import JoinedParts, Part, drop_parts, sweep_parts
from tenants.context import acting
from tenants.models import Project

STALE = timedelta(hours=24)
SWEPT_AT_ONCE = 500


class ListedPart(NamedTuple):
    """A part as whoever wants them joined names it."""

    number: int
    etag: str


# Begin and find


def check_part_count(count: int) -> None:
    if not 1 <= count <= MAX_PARTS:
        raise InvalidInput(
            f"Invalid value {count} for parameter 'num_parts' supplied: "
            f"an upload has 1 to {MAX_PARTS} parts."
        )


def stage(upload: UUID) -> str:
    """Have the bucket take parts; "" where they are sent to us. No transaction."""
    store = direct_store()
    return store.begin(upload) if store else ""


def begin_upload(
    project: Project, *, upload: UUID, location: str, part_count: int, reference: str
) -> MultipartUpload:
    """Raises LimitExceeded when too many of the project's uploads are open.

    NoRoom or TooManyFiles when not even an empty file would fit beside them.
    """
    open_ones = MultipartUpload.objects.in_project(project.pk).filter(
        organization_id=project.organization_id, completed_at=None
    )
    most = settings.MAX_OPEN_UPLOADS
    if open_ones.order_by()[:most].count() >= most:
        raise LimitExceeded(
            f"{most} uploads of this project are open: complete or abort some of them."
        )
    refuse_reserved(project)
    row = MultipartUpload(
        id=upload,
        organization_id=project.organization_id,
        project=project,
        location=location,
        part_count=part_count,
        reference=reference,
        created_by=acting().id,
    )
    row.save(force_insert=True)
    return row


def find_upload(project: Project, upload_id: str, *, location: str) -> MultipartUpload:
    """Raises NotFound in the same words, whatever it is that does not fit."""
    rows = MultipartUpload.objects.in_project(project.pk)
    key = key_of(upload_id)
    row = rows.filter(pk=key, location=location).first() if key else None
    if row is None:
        raise no_upload(upload_id)
    return row


def find_open(upload_id: str, number: int, project: Project | None) -> MultipartUpload:
    """Find it in a project, or in all of the organization that a signed URL names.

    Raises NotFound also for a part that the upload does not have.
    """
    key = key_of(upload_id)
    rows = MultipartUpload.objects.filter(completed_at=None, part_count__gte=number)
    if project:
        rows = rows.in_project(project.pk)
    row = rows.filter(pk=key).first() if key and number >= 1 else None
    if row is None:
        raise no_upload(upload_id)
    return row


def no_upload(upload_id: str) -> NotFound:
    return NotFound(f"No such upload: {upload_id[:50]}")


def key_of(upload_id: str) -> UUID | None:
    try:
        return UUID(hex=upload_id)
    except ValueError:
        return None


# Parts


@transaction.atomic
def record_part(upload: MultipartUpload, part: Part) -> None:
    """Raises TooLarge when the parts together are larger than a file may be.

    NoRoom when they do not fit beside what the project's packages hold.
    """
    UploadPart.objects.bulk_create(
        [
            UploadPart(
                organization_id=upload.organization_id,
                upload=upload,
                number=part.number,
                size_bytes=part.size_bytes,
                sha256=part.sha256,
            )
        ],
        update_conflicts=True,
        unique_fields=["organization", "upload", "number"],
        update_fields=["size_bytes", "sha256"],
    )
    total = arrived_rows(upload).aggregate(total=Sum("size_bytes"))["total"]
    if total > settings.MAX_ARTIFACT_BYTES:
        raise TooLarge(f"A file may have at most {settings.MAX_ARTIFACT_BYTES} bytes.")
    refuse_reserved(upload.project)


def refuse_reserved(project: Project) -> None:
    """Count what has arrived for open uploads as held: late refusals cost the most."""
    arrived = UploadPart.objects.filter(
        organization_id=project.organization_id,
        upload__project=project,
        upload__completed_at=None,
    )
    reserved = arrived.aggregate(total=Sum("size_bytes", default=0))["total"]
    storage_of(project).refuse(reserved, 1)


def arrived_rows(upload: MultipartUpload) -> QuerySet[UploadPart]:
    return UploadPart.objects.filter(
        organization_id=upload.organization_id, upload=upload
    )


def arrived_parts(upload: MultipartUpload) -> dict[int, Part]:
    rows = arrived_rows(upload).values_list("number", "sha256", "size_bytes")
    return {row[0]: Part(*row) for row in rows}


def check_parts(
    upload: MultipartUpload, listed: Sequence[ListedPart], etags: Mapping[int, str]
) -> None:
    """Raises InvalidInput unless `listed` are all parts, once each, in order.

    `etags` are those of the parts that have arrived.
    """
    numbers = [part.number for part in listed]
    wanted = range(1, upload.part_count + 1)
    for number in numbers:
        if number not in wanted:
            count = upload.part_count
            raise InvalidInput(f"Part {number}: the upload has parts 1 to {count}.")
    if len(set(numbers)) != len(numbers):
        raise InvalidInput("A part is listed twice.")
    if missing := first_missing(wanted, {*numbers} & {*etags}):
        raise InvalidInput(f"Part {missing} of {upload.part_count} is missing.")
    if numbers != sorted(numbers):
        raise InvalidInput("The parts are not in the order of their numbers.")
    for part in listed:
        if part.etag != etags[part.number]:
            raise InvalidInput(
                f"Part {part.number} has another ETag than what was stored last."
            )


def first_missing(wanted: Collection[int], there: Collection[int]) -> int | None:
    return next((number for number in wanted if number not in there), None)


# Join


def join(
    upload: MultipartUpload, listed: Sequence[ListedPart], arrived: Mapping[int, Part]
) -> StoredBlob:
    """Make one blob of the parts, in constant memory. No transaction.

    Doing it twice does no harm: the same bytes are the same blob.
    """
    store = bucket() if upload.reference else None
    if store:
        return join_direct(
            store,
            upload.organization_id,
            upload.pk,
            upload.reference,
            lambda staged: check_parts(
                upload, listed, {number: staged[number].etag for number in staged}
            ),
            max_bytes=settings.MAX_ARTIFACT_BYTES,
        )
    check_parts(upload, listed, {number: arrived[number].sha256 for number in arrived})
    ordered = [arrived[part.number] for part in listed]
    source = JoinedParts(upload.pk, ordered)
    try:
        return put_blob(
            upload.organization_id,
            source,
            max_bytes=settings.MAX_ARTIFACT_BYTES,
            expected_bytes=sum(part.size_bytes for part in ordered),
        )
    finally:
        source.close()


def claim_completion(upload: MultipartUpload) -> bool:
    """False when it was completed, or given up, meanwhile."""
    now = timezone.now()
    rows = MultipartUpload.objects.filter(pk=upload.pk, completed_at=None)
    return bool(rows.update(completed_at=now, updated_at=now))


def abort_upload(upload: MultipartUpload) -> None:
    """What was completed stays: then it is only forgotten how it came."""
    UploadPart.objects.filter(upload=upload).delete()
    MultipartUpload.objects.filter(pk=upload.pk).delete()


def drop_bytes(upload: MultipartUpload) -> None:
    """Remove what was staged. No transaction."""
    store = bucket() if upload.reference else None
    if store:
        store.drop(upload.pk, upload.reference)
    drop_parts(upload.pk)


# Sweep


def stale_uploads(older_than: timedelta = STALE) -> QuerySet[MultipartUpload]:
    before = timezone.now() - older_than
    return MultipartUpload.objects.filter(created_at__lt=before).order_by("created_at")


def delete_stale(older_than: timedelta = STALE) -> int:
    """Delete some rows, but none that somebody is at just now; 0: there are no more."""
    claimed = stale_uploads(older_than).select_for_update(skip_locked=True)
    keys = list(claimed.values_list("pk", flat=True)[:SWEPT_AT_ONCE])
    UploadPart.objects.filter(upload__in=keys).delete()
    deleted, _ = MultipartUpload.objects.filter(pk__in=keys).delete()
    return deleted


def sweep_staged(older_than: timedelta = STALE) -> int:
    """Remove bytes by their own age, whatever the rows say. No transaction."""
    store = bucket()
    return sweep_parts(older_than) + (store.sweep_staged(older_than) if store else 0)

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.querysets import ProjectRowManager
from tenants.models import Project, TenantModel, TenantRow

# As many as a bucket takes.
MAX_PARTS = 10_000


class MultipartUpload(TenantModel):
    """A file that is sent in parts; it becomes an artifact when they are joined.

    Kept for a day after that: a client that heard no answer asks again.
    """

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    # The path below the root of artifacts, as it was checked: whose file, and its key.
    location = models.CharField(max_length=2048)
    part_count = models.PositiveIntegerField()
    # The bucket's name of the upload, where clients send the parts to it themselves.
    reference = models.CharField(max_length=1024, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    created_by = models.UUIDField(null=True, editable=False)

    objects = ProjectRowManager()

    class Meta:
        db_table = "multipart_uploads"
        ordering = ["-id"]
        indexes = [
            # Read when an upload begins: how many of the project are open.
            models.Index(
                fields=["organization", "project"],
                condition=Q(completed_at__isnull=True),
                name="multipart_uploads_open",
            ),
            # Read by the sweep, over all organizations.
            models.Index(fields=["created_at"], name="multipart_uploads_created"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(part_count__range=(1, MAX_PARTS)),
                name="multipart_uploads_part_count",
            ),
        ]

    def __str__(self) -> str:
        return self.location


class UploadPart(TenantRow):
    """A part that has arrived here, by its number; the last one sent counts."""

    upload = models.ForeignKey(
        MultipartUpload,
        models.CASCADE,
        related_name="parts",
        db_constraint=False,
        db_index=False,
    )
    number = models.PositiveIntegerField()
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    objects = ProjectRowManager()

    class Meta:
        db_table = "upload_parts"
        constraints = [
            # Met by each part that is sent, and read when the parts are joined.
            models.UniqueConstraint(
                fields=["organization", "upload", "number"], name="upload_parts_number"
            ),
            models.CheckConstraint(
                condition=Q(number__range=(1, MAX_PARTS)), name="upload_parts_range"
            ),
            models.CheckConstraint(
                condition=Q(size_bytes__gte=0), name="upload_parts_size"
            ),
        ]

    def __str__(self) -> str:
        return str(self.number)

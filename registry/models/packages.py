from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.querysets import PackageManager, ProjectRowManager
from tenants.models import (
    ALIVE,
    Project,
    SoftDeleted,
    TenantModel,
    TenantRow,
    purge_index,
)

CANDIDATE_VERSION = "-"


class PackageType(models.TextChoices):
    GENERIC = "generic"
    CANDIDATE = "candidate"
    MODEL = "model"


class PackageStatus(models.TextChoices):
    DEFAULT = "default"
    HIDDEN = "hidden"
    PROCESSING = "processing"
    ERROR = "error"
    DEPRECATED = "deprecated"
    PENDING_DESTRUCTION = "pending_destruction", "pending destruction"


class Blob(TenantRow):
    """Bytes by their digest, stored once per organization."""

    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    # When a file that named it was purged; the sweep waits from then on, too.
    released_at = models.DateTimeField(null=True, editable=False)

    objects = ProjectRowManager()

    class Meta:
        db_table = "blobs"
        constraints = [
            # Met by each upload: the same bytes are one row of the organization.
            models.UniqueConstraint(
                fields=["organization", "sha256"], name="blobs_sha256"
            ),
            models.CheckConstraint(condition=Q(size_bytes__gte=0), name="blobs_size"),
            models.CheckConstraint(
                condition=Q(sha256__regex="^[0-9a-f]{64}$"), name="blobs_sha256_shape"
            ),
        ]

    def __str__(self) -> str:
        return self.sha256


class Package(TenantModel, SoftDeleted):
    """The files of a candidate or of a model version, found by name in its project.

    Name, version and project never change (a trigger refuses it), because the name of
    a candidate's package, `ml_candidate_<iid>`, is its link to the run.
    """

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=255)
    version = models.CharField(max_length=255, default=CANDIDATE_VERSION)
    type = models.CharField(
        max_length=9, choices=PackageType, default=PackageType.GENERIC
    )
    status = models.CharField(
        max_length=19, choices=PackageStatus, default=PackageStatus.DEFAULT
    )
    # What a restored package becomes again.
    former_status = models.CharField(
        max_length=19, default="", db_default="", editable=False
    )
    # Written in batches, some time after the download.
    last_downloaded_at = models.DateTimeField(null=True, editable=False)
    metadata = models.JSONField(default=dict, blank=True)
    created_by = models.UUIDField(null=True, editable=False)

    objects = PackageManager()

    class Meta:
        db_table = "packages"
        ordering = ["-id"]
        indexes = [
            # Read by the package list of a project, newest first.
            models.Index(
                fields=["project", "-id"], name="packages_of_project", condition=ALIVE
            ),
            # Read by the package list of an organization, newest first.
            models.Index(
                fields=["organization", "-id"],
                name="packages_of_organization",
                condition=ALIVE,
            ),
            # Read by the lists of one type and in the order of types.
            models.Index(
                fields=["project", "type", "id"],
                name="packages_by_type",
                condition=ALIVE,
            ),
            # Read by the lists of one version and in the order of versions.
            models.Index(
                fields=["project", "version", "id"],
                name="packages_by_version",
                condition=ALIVE,
            ),
            # Read by the purge.
            purge_index("packages"),
        ]
        constraints = [
            # Read by the virtual foreign key; one live package per name and version.
            models.UniqueConstraint(
                fields=["organization", "project", "name", "version"],
                name="packages_live_name",
                condition=Q(deleted_at__isnull=True)
                & ~Q(status=PackageStatus.PENDING_DESTRUCTION),
            ),
            models.CheckConstraint(
                condition=~Q(name__istartswith="ml_candidate_")
                | Q(name__regex=r"^ml_candidate_(0|[1-9][0-9]*)$"),
                name="packages_candidate_name",
            ),
            models.CheckConstraint(
                condition=~Q(name__istartswith="ml_model_")
                | Q(name__regex="^ml_model_[0-9a-f]{32}$"),
                name="packages_logged_model_name",
            ),
            models.CheckConstraint(
                condition=Q(status__in=PackageStatus.values), name="packages_status"
            ),
            models.CheckConstraint(
                condition=Q(type__in=PackageType.values), name="packages_type"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class PackageFile(TenantModel):
    """One path of a package and the blob that stands there."""

    package = models.ForeignKey(
        Package,
        models.RESTRICT,
        related_name="files",
        db_constraint=False,
        db_index=False,
    )
    # Byte by byte, so that the index serves a folder as a range, in any database.
    path = models.CharField(max_length=1024, db_collation="C")
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    blob = models.ForeignKey(
        Blob, models.RESTRICT, related_name="files", db_constraint=False, db_index=False
    )

    objects = ProjectRowManager()

    class Meta:
        db_table = "package_files"
        ordering = ["path"]
        indexes = [
            # Read by the sweep that asks whether a blob is still referred to.
            models.Index(fields=["organization", "blob"], name="package_files_of_blob"),
        ]
        constraints = [
            # Read by download and by folder lists; one file per path.
            models.UniqueConstraint(
                fields=["organization", "package", "path"], name="package_files_path"
            ),
            models.CheckConstraint(
                condition=Q(size_bytes__gte=0), name="package_files_size"
            ),
        ]

    def __str__(self) -> str:
        return self.path

from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.logged_models import LoggedModel
from registry.models.packages import Package
from registry.models.runs import Run
from registry.models.tags import Tag
from registry.querysets import ModelManager, ModelVersionManager, ProjectRowManager
from tenants.models import ALIVE, Project, SoftDeleted, TenantModel, purge_index


class Stage(models.TextChoices):
    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


class VersionStatus(models.TextChoices):
    PENDING = "PENDING_REGISTRATION", "Pending registration"
    READY = "READY", "Ready"
    FAILED = "FAILED_REGISTRATION", "Failed registration"


class RegisteredModel(TenantModel, SoftDeleted):
    """The lasting name under which versions are registered."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True)
    # Claimed by each new version; never goes down, so no number is used twice.
    last_version = models.IntegerField(default=0, editable=False)
    created_by = models.UUIDField(null=True, editable=False)

    objects = ModelManager()

    class Meta:
        db_table = "registered_models"
        ordering = ["-id"]
        indexes = [
            # Read by the model list of a project, newest first.
            models.Index(
                fields=["project", "-id"],
                name="registered_models_of_project",
                condition=ALIVE,
            ),
            # Read by the purge.
            purge_index("registered_models"),
        ]
        constraints = [
            # Read by every request that names a model.
            models.UniqueConstraint(
                fields=["organization", "project", "name"],
                name="registered_models_name",
                condition=ALIVE,
            ),
            models.CheckConstraint(
                condition=~Q(name="") & ~Q(name__contains="/") & ~Q(name__contains=":"),
                name="registered_models_name_shape",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RegisteredModelTag(Tag):
    """A mutable text label of a registered model."""

    registered_model = models.ForeignKey(
        RegisteredModel,
        models.RESTRICT,
        db_column="model_id",
        related_name="tags",
        db_constraint=False,
        db_index=False,
    )

    class Meta:
        db_table = "registered_model_tags"
        constraints = [
            # Read with the model; met by each upsert.
            models.UniqueConstraint(
                fields=["organization", "registered_model", "key"],
                name="registered_model_tags_key",
            ),
        ]


class ModelVersion(TenantModel, SoftDeleted):
    """One numbered content under a registered name; numbers are never reused."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    registered_model = models.ForeignKey(
        RegisteredModel,
        models.RESTRICT,
        db_column="model_id",
        related_name="versions",
        db_constraint=False,
        db_index=False,
    )
    version = models.IntegerField(editable=False)
    stage = models.CharField(max_length=10, choices=Stage, default=Stage.NONE)
    status = models.CharField(
        max_length=20, choices=VersionStatus, default=VersionStatus.READY
    )
    status_message = models.TextField(blank=True)
    description = models.TextField(blank=True)
    source = models.CharField(max_length=2048, blank=True)
    run = models.ForeignKey(
        Run,
        models.RESTRICT,
        null=True,
        blank=True,
        related_name="model_versions",
        db_constraint=False,
        db_index=False,
    )
    run_link = models.CharField(max_length=500, blank=True)
    logged_model = models.ForeignKey(
        LoggedModel,
        models.RESTRICT,
        null=True,
        blank=True,
        related_name="model_versions",
        db_constraint=False,
        db_index=False,
    )
    package = models.ForeignKey(
        Package,
        models.RESTRICT,
        null=True,
        blank=True,
        related_name="model_versions",
        db_constraint=False,
        db_index=False,
    )
    metadata = models.JSONField(default=dict, blank=True)
    created_by = models.UUIDField(null=True, editable=False)

    objects = ModelVersionManager()

    class Meta:
        db_table = "model_versions"
        ordering = ["-id"]
        indexes = [
            # Read by search and get-latest-versions: a model's versions by stage.
            models.Index(
                fields=["registered_model", "stage"],
                name="idx_model_versions_model_stage",
                condition=ALIVE,
            ),
            # Read by "what is in production", newest first.
            models.Index(
                fields=["organization", "-created_at"],
                name="idx_model_versions_org_production",
                condition=ALIVE & Q(stage="Production"),
            ),
            # Read by the version list of a project, newest first.
            models.Index(
                fields=["project", "-id"],
                name="model_versions_of_project",
                condition=ALIVE,
            ),
            # Read by a run's page: what was registered from it.
            models.Index(
                fields=["run"],
                name="model_versions_of_run",
                condition=Q(run__isnull=False),
            ),
            # Read by a logged model's page: what was registered from it.
            models.Index(
                fields=["logged_model"],
                name="model_versions_of_logged_model",
                condition=Q(logged_model__isnull=False),
            ),
            # Read by the purge.
            purge_index("model_versions"),
        ]
        constraints = [
            # Read by every request that names a version; includes deleted ones.
            models.UniqueConstraint(
                fields=["organization", "registered_model", "version"],
                name="idx_model_versions_number",
            ),
            models.CheckConstraint(
                condition=Q(version__gte=1), name="model_versions_version_min"
            ),
            models.CheckConstraint(
                condition=Q(stage__in=Stage.values), name="model_versions_stage"
            ),
            models.CheckConstraint(
                condition=Q(status__in=VersionStatus.values),
                name="model_versions_status",
            ),
        ]

    def __str__(self) -> str:
        return f"version {self.version}"


class ModelVersionTag(Tag):
    """A mutable text label of a model version."""

    model_version = models.ForeignKey(
        ModelVersion,
        models.RESTRICT,
        related_name="tags",
        db_constraint=False,
        db_index=False,
    )

    class Meta:
        db_table = "model_version_tags"
        constraints = [
            # Read with the version; met by each upsert.
            models.UniqueConstraint(
                fields=["organization", "model_version", "key"],
                name="model_version_tags_key",
            ),
        ]


class Alias(TenantModel):
    """A movable pointer from a model's word, such as "champion", to a version."""

    registered_model = models.ForeignKey(
        RegisteredModel,
        models.RESTRICT,
        db_column="model_id",
        related_name="aliases",
        db_constraint=False,
        db_index=False,
    )
    name = models.CharField(max_length=255)
    model_version = models.ForeignKey(
        ModelVersion,
        models.RESTRICT,
        related_name="aliases",
        db_constraint=False,
        db_index=False,
    )

    objects = ProjectRowManager()

    class Meta:
        db_table = "model_aliases"
        verbose_name_plural = "aliases"
        indexes = [
            # Read with a version: the aliases that point at it.
            models.Index(
                fields=["organization", "model_version"],
                name="model_aliases_of_version",
            ),
        ]
        constraints = [
            # Read by "model@alias"; an alias stands once per model.
            models.UniqueConstraint(
                fields=["organization", "registered_model", "name"],
                name="model_aliases_name",
            ),
        ]

    def __str__(self) -> str:
        return self.name

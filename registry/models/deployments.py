from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.versions import ModelVersion
from registry.querysets import DeploymentManager
from tenants.models import ALIVE, Project, SoftDeleted, TenantModel, purge_index


class DeploymentStatus(models.TextChoices):
    PENDING = "pending"
    ACTIVE = "active"
    FAILED = "failed"
    RETIRED = "retired"


class Deployment(TenantModel, SoftDeleted):
    """A model version serving in an environment."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=200)
    environment = models.CharField(max_length=63, default="production")
    model_version = models.ForeignKey(
        ModelVersion,
        models.RESTRICT,
        null=True,
        blank=True,
        related_name="deployments",
        db_constraint=False,
        db_index=False,
    )
    status = models.CharField(
        max_length=7, choices=DeploymentStatus, default=DeploymentStatus.PENDING
    )
    endpoint_url = models.URLField(max_length=500, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    deployed_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    created_by = models.UUIDField(null=True, editable=False)

    objects = DeploymentManager()

    class Meta:
        db_table = "deployments"
        ordering = ["-id"]
        indexes = [
            # Read by the deployment list of a project, newest first.
            models.Index(
                fields=["project", "-id"],
                name="deployments_of_project",
                condition=ALIVE,
            ),
            # Read by a version's page: where it serves.
            models.Index(fields=["model_version"], name="deployments_of_version"),
            # Read by the purge.
            purge_index("deployments"),
        ]
        constraints = [
            # Read by name; one live deployment per name and environment.
            models.UniqueConstraint(
                fields=["organization", "project", "name", "environment"],
                name="deployments_name",
                condition=ALIVE,
            ),
            models.CheckConstraint(
                condition=Q(status__in=DeploymentStatus.values),
                name="deployments_status",
            ),
            models.CheckConstraint(
                condition=Q(retired_at__isnull=True)
                | Q(deployed_at__isnull=True)
                | Q(retired_at__gte=models.F("deployed_at")),
                name="deployments_period",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.environment})"

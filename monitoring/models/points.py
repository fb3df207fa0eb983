from __future__ import annotations

from django.db import models

from monitoring.querysets import PointManager
from registry.models import Deployment


class MonitoringPoint(models.Model):
    """One observed value of a deployment, a fact: its id is derived from its time.

    Partitioned by month on `id`; read through `.between(start, end)`. A statement
    trigger checks that the deployment belongs to the organization.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.UUIDField(editable=False)
    deployment = models.ForeignKey(
        Deployment, models.DO_NOTHING, db_constraint=False, db_index=False
    )
    metric_name = models.CharField(max_length=250)
    segment = models.CharField(max_length=250, blank=True)
    recorded_at = models.DateTimeField()
    value = models.FloatField()
    ingested_at = models.DateTimeField(auto_now_add=True)

    objects = PointManager()

    class Meta:
        db_table = "model_monitoring"
        ordering = ["-id"]
        indexes = [
            # Read by charts and rules: one metric of one deployment over a window.
            # `.between()` bounds the id too, so the id must be in the index as well.
            models.Index(
                fields=["deployment", "metric_name", "recorded_at"],
                include=["value", "organization_id", "id"],
                name="idx_model_monitoring_deployment_metric",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric_name}={self.value}"

from __future__ import annotations

from django.db import models

from registry.models.runs import Run
from registry.querysets import ProjectRowManager


class Metric(models.Model):
    """One logged point, a fact: its id is derived, so a retry stores nothing.

    No foreign keys: a statement trigger checks that the run belongs to the
    organization (database.md: row-wise keys cost 8 ms per 1,000 points).
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.UUIDField(editable=False)
    run = models.ForeignKey(
        Run,
        models.DO_NOTHING,
        db_column="experiment_run_id",
        related_name="metrics",
        db_constraint=False,
        db_index=False,
    )
    name = models.CharField(max_length=250, db_column="metric_name")
    value = models.FloatField()
    timestamp_ms = models.BigIntegerField()
    step = models.BigIntegerField(default=0)

    objects = ProjectRowManager()

    class Meta:
        db_table = "run_metrics"
        indexes = [
            # Read by a curve, by sampling in hops and by the compare page;
            # organization_id keeps row-level security off the heap.
            models.Index(
                fields=["run", "name", "step"],
                include=["value", "organization_id"],
                name="idx_run_metrics_run_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}={self.value} at step {self.step}"


class LatestMetric(models.Model):
    """The newest point per run and name: highest (step, timestamp, value)."""

    id = models.UUIDField(primary_key=True, editable=False)
    organization_id = models.UUIDField(editable=False)
    experiment_id = models.UUIDField(editable=False)
    run = models.ForeignKey(
        Run,
        models.RESTRICT,
        db_column="experiment_run_id",
        related_name="latest_metrics",
        db_constraint=False,
        db_index=False,
    )
    name = models.CharField(max_length=250, db_column="metric_name")
    value = models.FloatField()
    timestamp_ms = models.BigIntegerField()
    step = models.BigIntegerField(default=0)

    objects = ProjectRowManager()

    class Meta:
        db_table = "latest_metrics"
        indexes = [
            # Read by a search of an experiment's runs by a metric, and by the order of
            # one: its value leads, so each newer point costs an entry.
            models.Index(
                fields=["experiment_id", "name", "value"],
                include=["run", "organization_id"],
                name="latest_metrics_by_value",
            ),
        ]
        constraints = [
            # Read with the run; met by each newer point.
            models.UniqueConstraint(
                fields=["organization_id", "run", "name"], name="latest_metrics_name"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}={self.value}"

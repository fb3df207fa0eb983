from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from monitoring.querysets import DriftReportManager
from registry.models import Deployment
from tenants.models import Project, TenantModel


class ReportStatus(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class DriftReport(TenantModel):
    """The verdicts of one half-open window [period_start, period_end)."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    deployment = models.ForeignKey(
        Deployment,
        models.RESTRICT,
        related_name="drift_reports",
        db_constraint=False,
        db_index=False,
    )
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    segment = models.CharField(max_length=250, blank=True)
    revision = models.IntegerField(default=1)
    status = models.CharField(
        max_length=7, choices=ReportStatus, default=ReportStatus.PENDING
    )
    error = models.TextField(blank=True)
    drifted = models.BooleanField(null=True)
    label_coverage = models.FloatField(null=True, blank=True)
    result = models.JSONField(default=dict, blank=True)

    objects = DriftReportManager()

    class Meta:
        db_table = "data_drift_reports"
        ordering = ["-id"]
        indexes = [
            # Read by "reports that overlap this window".
            models.Index(
                fields=["deployment", "period_start", "period_end"],
                name="idx_data_drift_reports_deployment_period",
            ),
            # Read by "the latest report of a deployment".
            models.Index(
                fields=["deployment", "-period_end", "period_start"],
                name="idx_data_drift_reports_latest",
            ),
            # Read by the report list of a project, newest first.
            models.Index(
                fields=["project", "-id"], name="data_drift_reports_of_project"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "organization",
                    "deployment",
                    "period_start",
                    "period_end",
                    "segment",
                    "revision",
                ],
                name="data_drift_reports_window",
            ),
            models.CheckConstraint(
                condition=Q(period_start__lt=F("period_end")),
                name="data_drift_reports_period",
            ),
            models.CheckConstraint(
                condition=Q(label_coverage__isnull=True)
                | Q(label_coverage__gte=0, label_coverage__lte=1),
                name="data_drift_reports_label_coverage",
            ),
            models.CheckConstraint(
                condition=Q(status__in=ReportStatus.values),
                name="data_drift_reports_status",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period_start:%Y-%m-%d %H:%M} – {self.period_end:%Y-%m-%d %H:%M}"

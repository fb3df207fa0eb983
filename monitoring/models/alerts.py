from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from monitoring.querysets import AlertManager, AlertRuleManager
from registry.models import Deployment
from tenants.models import ALIVE, Project, SoftDeleted, TenantModel, purge_index


class RuleKind(models.TextChoices):
    METRIC = "metric"
    DRIFT = "drift"
    QUALITY = "quality"
    PERFORMANCE = "performance"
    NO_DATA = "no_data", "no data"


class Operator(models.TextChoices):
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="


class Severity(models.TextChoices):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertStatus(models.TextChoices):
    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


OPEN = Q(status__in=[AlertStatus.ACTIVE, AlertStatus.ACKNOWLEDGED])


class AlertRule(TenantModel, SoftDeleted):
    """What to watch, and when it is worth telling somebody."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    deployment = models.ForeignKey(
        Deployment,
        models.RESTRICT,
        null=True,
        blank=True,
        related_name="alert_rules",
        db_constraint=False,
        db_index=False,
    )
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=11, choices=RuleKind, default=RuleKind.METRIC)
    metric_name = models.CharField(max_length=250, blank=True)
    operator = models.CharField(max_length=2, choices=Operator, default=Operator.ABOVE)
    threshold = models.FloatField(null=True, blank=True)
    for_seconds = models.PositiveIntegerField(default=0)
    severity = models.CharField(
        max_length=8, choices=Severity, default=Severity.WARNING
    )
    is_enabled = models.BooleanField(default=True)
    labels = models.JSONField(default=dict, blank=True)
    created_by = models.UUIDField(null=True, editable=False)

    objects = AlertRuleManager()

    class Meta:
        db_table = "alert_rules"
        ordering = ["-id"]
        indexes = [
            # Read by the rule list of a project, newest first.
            models.Index(
                fields=["project", "-id"],
                name="alert_rules_of_project",
                condition=ALIVE,
            ),
            # Read by a deployment's page: what watches it.
            models.Index(fields=["deployment"], name="alert_rules_of_deployment"),
            # Read by the purge.
            purge_index("alert_rules"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "project", "name"],
                name="alert_rules_name",
                condition=ALIVE,
            ),
            models.CheckConstraint(
                condition=Q(kind__in=RuleKind.values), name="alert_rules_kind"
            ),
            models.CheckConstraint(
                condition=Q(operator__in=Operator.values), name="alert_rules_operator"
            ),
            models.CheckConstraint(
                condition=Q(severity__in=Severity.values), name="alert_rules_severity"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Alert(TenantModel):
    """One firing of a rule, from open to resolved."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    rule = models.ForeignKey(
        AlertRule,
        models.RESTRICT,
        related_name="alerts",
        db_constraint=False,
        db_index=False,
    )
    deployment = models.ForeignKey(
        Deployment,
        models.RESTRICT,
        null=True,
        blank=True,
        related_name="alerts",
        db_constraint=False,
        db_index=False,
    )
    fingerprint = models.CharField(max_length=64)
    status = models.CharField(
        max_length=12, choices=AlertStatus, default=AlertStatus.ACTIVE
    )
    severity = models.CharField(
        max_length=8, choices=Severity, default=Severity.WARNING
    )
    summary = models.CharField(max_length=500, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    value = models.FloatField(null=True, blank=True)
    triggered_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.UUIDField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=500, blank=True)
    transition_seq = models.IntegerField(default=0)

    objects = AlertManager()

    class Meta:
        db_table = "alerts"
        ordering = ["-id"]
        indexes = [
            # Read by "alerts in this state since".
            models.Index(
                fields=["organization", "status", "triggered_at"],
                name="idx_alerts_org_status_triggered",
            ),
            # Read by the open alerts, newest first.
            models.Index(
                fields=["organization", "-triggered_at"],
                name="idx_alerts_open",
                condition=OPEN,
            ),
            # Read by all alerts, newest first.
            models.Index(
                fields=["organization", "-triggered_at"], name="idx_alerts_timeline"
            ),
            # Read by the alert list of a project, newest first.
            models.Index(fields=["project", "-id"], name="alerts_of_project"),
            # Read by a rule's page; leads the foreign key.
            models.Index(fields=["rule"], name="alerts_of_rule"),
            # Read by a deployment's page; leads the foreign key.
            models.Index(fields=["deployment"], name="alerts_of_deployment"),
        ]
        constraints = [
            # However many evaluators race, one alert of a series is open.
            models.UniqueConstraint(
                fields=["organization", "rule", "fingerprint"],
                name="alerts_one_open",
                condition=OPEN,
            ),
            models.CheckConstraint(
                condition=Q(status__in=AlertStatus.values), name="alerts_status"
            ),
            models.CheckConstraint(
                condition=Q(severity__in=Severity.values), name="alerts_severity"
            ),
            models.CheckConstraint(
                condition=Q(resolved_at__isnull=True)
                | Q(resolved_at__gte=F("triggered_at")),
                name="alerts_period",
            ),
            models.CheckConstraint(
                condition=Q(status="resolved", resolved_at__isnull=False)
                | (~Q(status="resolved") & Q(resolved_at__isnull=True)),
                name="alerts_resolved_has_time",
            ),
        ]

    def __str__(self) -> str:
        return self.summary or self.fingerprint

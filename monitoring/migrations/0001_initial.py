import django.db.models.deletion
import mlops.db.uuid7
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("registry", "0001_initial"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AlertRule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=mlops.db.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "deleted_at",
                    models.DateTimeField(blank=True, editable=False, null=True),
                ),
                ("deleted_by", models.UUIDField(blank=True, editable=False, null=True)),
                (
                    "delete_batch",
                    models.UUIDField(blank=True, editable=False, null=True),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("metric", "Metric"),
                            ("drift", "Drift"),
                            ("quality", "Quality"),
                            ("performance", "Performance"),
                            ("no_data", "no data"),
                        ],
                        default="metric",
                        max_length=11,
                    ),
                ),
                ("metric_name", models.CharField(blank=True, max_length=250)),
                (
                    "operator",
                    models.CharField(
                        choices=[
                            (">", "Above"),
                            (">=", "At Least"),
                            ("<", "Below"),
                            ("<=", "At Most"),
                        ],
                        default=">",
                        max_length=2,
                    ),
                ),
                ("threshold", models.FloatField(blank=True, null=True)),
                ("for_seconds", models.PositiveIntegerField(default=0)),
                (
                    "severity",
                    models.CharField(
                        choices=[
                            ("info", "Info"),
                            ("warning", "Warning"),
                            ("critical", "Critical"),
                        ],
                        default="warning",
                        max_length=8,
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True)),
                ("labels", models.JSONField(blank=True, default=dict)),
                ("created_by", models.UUIDField(editable=False, null=True)),
                (
                    "deployment",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="alert_rules",
                        to="registry.deployment",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.organization",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.project",
                    ),
                ),
            ],
            options={
                "db_table": "alert_rules",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["project", "-id"],
                        name="alert_rules_of_project",
                    ),
                    models.Index(
                        fields=["deployment"], name="alert_rules_of_deployment"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=("organization", "project", "name"),
                        name="alert_rules_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "kind__in",
                                [
                                    "metric",
                                    "drift",
                                    "quality",
                                    "performance",
                                    "no_data",
                                ],
                            )
                        ),
                        name="alert_rules_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("operator__in", [">", ">=", "<", "<="])),
                        name="alert_rules_operator",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("severity__in", ["info", "warning", "critical"])
                        ),
                        name="alert_rules_severity",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=mlops.db.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("fingerprint", models.CharField(max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("acknowledged", "Acknowledged"),
                            ("resolved", "Resolved"),
                        ],
                        default="active",
                        max_length=12,
                    ),
                ),
                (
                    "severity",
                    models.CharField(
                        choices=[
                            ("info", "Info"),
                            ("warning", "Warning"),
                            ("critical", "Critical"),
                        ],
                        default="warning",
                        max_length=8,
                    ),
                ),
                ("summary", models.CharField(blank=True, max_length=500)),
                ("labels", models.JSONField(blank=True, default=dict)),
                ("value", models.FloatField(blank=True, null=True)),
                ("triggered_at", models.DateTimeField()),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                ("acknowledged_by", models.UUIDField(blank=True, null=True)),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                ("resolution", models.CharField(blank=True, max_length=500)),
                ("transition_seq", models.IntegerField(default=0)),
                (
                    "deployment",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="alerts",
                        to="registry.deployment",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.organization",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.project",
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="alerts",
                        to="monitoring.alertrule",
                    ),
                ),
            ],
            options={
                "db_table": "alerts",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        fields=["organization", "status", "triggered_at"],
                        name="idx_alerts_org_status_triggered",
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ["active", "acknowledged"])),
                        fields=["organization", "-triggered_at"],
                        name="idx_alerts_open",
                    ),
                    models.Index(
                        fields=["organization", "-triggered_at"],
                        name="idx_alerts_timeline",
                    ),
                    models.Index(fields=["project", "-id"], name="alerts_of_project"),
                    models.Index(fields=["rule"], name="alerts_of_rule"),
                    models.Index(fields=["deployment"], name="alerts_of_deployment"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["active", "acknowledged"])),
                        fields=("organization", "rule", "fingerprint"),
                        name="alerts_one_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["active", "acknowledged", "resolved"])
                        ),
                        name="alerts_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("severity__in", ["info", "warning", "critical"])
                        ),
                        name="alerts_severity",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("resolved_at__isnull", True),
                            ("resolved_at__gte", models.F("triggered_at")),
                            _connector="OR",
                        ),
                        name="alerts_period",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("resolved_at__isnull", False), ("status", "resolved")
                            ),
                            models.Q(
                                models.Q(("status", "resolved"), _negated=True),
                                ("resolved_at__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="alerts_resolved_has_time",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DriftReport",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=mlops.db.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("period_start", models.DateTimeField()),
                ("period_end", models.DateTimeField()),
                ("segment", models.CharField(blank=True, max_length=250)),
                ("revision", models.IntegerField(default=1)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=7,
                    ),
                ),
                ("error", models.TextField(blank=True)),
                ("drifted", models.BooleanField(null=True)),
                ("label_coverage", models.FloatField(blank=True, null=True)),
                ("result", models.JSONField(blank=True, default=dict)),
                (
                    "deployment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="drift_reports",
                        to="registry.deployment",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.organization",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.project",
                    ),
                ),
            ],
            options={
                "db_table": "data_drift_reports",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        fields=["deployment", "period_start", "period_end"],
                        name="idx_data_drift_reports_deployment_period",
                    ),
                    models.Index(
                        fields=["deployment", "-period_end", "period_start"],
                        name="idx_data_drift_reports_latest",
                    ),
                    models.Index(
                        fields=["project", "-id"], name="data_drift_reports_of_project"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "organization",
                            "deployment",
                            "period_start",
                            "period_end",
                            "segment",
                            "revision",
                        ),
                        name="data_drift_reports_window",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("period_start__lt", models.F("period_end"))
                        ),
                        name="data_drift_reports_period",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("label_coverage__isnull", True),
                            models.Q(
                                ("label_coverage__gte", 0), ("label_coverage__lte", 1)
                            ),
                            _connector="OR",
                        ),
                        name="data_drift_reports_label_coverage",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["pending", "running", "done", "failed"])
                        ),
                        name="data_drift_reports_status",
                    ),
                ],
            },
        ),
    ]

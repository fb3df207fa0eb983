"""Logged models: what runs log as models, with params, tags, metrics and uses."""

import django.db.models.deletion
import mlops.db.uuid7
from django.db import migrations, models

from mlops.db.operations import ForbidChange, ProtectTenantTable

OF_MODEL = {"logged_model_id": "logged_models"}
OF_RUN = {"experiment_run_id": "experiment_runs"}
REMOVABLE = "SELECT, INSERT, UPDATE, DELETE"

# A version may come from a logged model of its own organization only.
VERSION_KEY = """
ALTER TABLE model_versions ADD CONSTRAINT model_versions_logged_model_id_organization_fk
    FOREIGN KEY (organization_id, logged_model_id)
    REFERENCES logged_models (organization_id, id);
"""
NO_VERSION_KEY = """
ALTER TABLE model_versions
    DROP CONSTRAINT model_versions_logged_model_id_organization_fk;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0011_run_creators"),
        ("tenants", "0008_single_sign_on"),
    ]

    operations = [
        migrations.CreateModel(
            name="LoggedModel",
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
                ("name", models.CharField(max_length=500)),
                (
                    "model_type",
                    models.CharField(blank=True, max_length=500, verbose_name="type"),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("PENDING", "Pending"),
                            ("READY", "Ready"),
                            ("FAILED", "Failed"),
                        ],
                        default="PENDING",
                        max_length=7,
                    ),
                ),
                ("status_message", models.CharField(blank=True, max_length=1000)),
                ("created_by", models.UUIDField(editable=False, null=True)),
                (
                    "experiment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="logged_models",
                        to="registry.experiment",
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
                    "source_run",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="logged_models",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "logged_models",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["experiment", "-created_at", "id"],
                        name="logged_models_newest",
                    ),
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["experiment", "name", "-created_at", "id"],
                        name="logged_models_named",
                    ),
                    models.Index(
                        fields=["project", "-id"], name="logged_models_of_project"
                    ),
                    models.Index(
                        condition=models.Q(("source_run__isnull", False)),
                        fields=["source_run", "-id"],
                        name="logged_models_of_run",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["PENDING", "READY", "FAILED"])
                        ),
                        name="logged_models_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True),
                        name="logged_models_name",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LoggedModelMetric",
            fields=[
                (
                    "id",
                    models.UUIDField(editable=False, primary_key=True, serialize=False),
                ),
                ("organization_id", models.UUIDField(editable=False)),
                ("name", models.CharField(db_column="metric_name", max_length=250)),
                ("value", models.FloatField()),
                ("timestamp_ms", models.BigIntegerField()),
                ("step", models.BigIntegerField(default=0)),
                ("dataset_name", models.CharField(blank=True, max_length=500)),
                ("dataset_digest", models.CharField(blank=True, max_length=36)),
                (
                    "logged_model",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="metrics",
                        to="registry.loggedmodel",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_column="experiment_run_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="model_metrics",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "logged_model_metrics",
                "indexes": [
                    models.Index(
                        fields=["logged_model", "-id"],
                        name="logged_model_metrics_newest",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LoggedModelParam",
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
                ("key", models.CharField(max_length=250)),
                ("value", models.CharField(blank=True, max_length=6000)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "logged_model",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="params",
                        to="registry.loggedmodel",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.organization",
                    ),
                ),
            ],
            options={
                "db_table": "logged_model_params",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "logged_model", "key"),
                        name="logged_model_params_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LoggedModelTag",
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
                ("key", models.CharField(max_length=250)),
                ("value", models.TextField(blank=True)),
                (
                    "logged_model",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="tags",
                        to="registry.loggedmodel",
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
            ],
            options={
                "db_table": "logged_model_tags",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "logged_model", "key"),
                        name="logged_model_tags_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RunModel",
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
                (
                    "role",
                    models.CharField(
                        choices=[("input", "input"), ("output", "output")], max_length=6
                    ),
                ),
                ("step", models.BigIntegerField(default=0)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "logged_model",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="uses",
                        to="registry.loggedmodel",
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
                    "run",
                    models.ForeignKey(
                        db_column="experiment_run_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="models",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "run_models",
                "indexes": [
                    models.Index(
                        fields=["organization", "logged_model"],
                        name="run_models_of_model",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "run", "role", "logged_model", "step"),
                        name="run_models_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ["input", "output"])),
                        name="run_models_role",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="modelversion",
            name="logged_model",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="model_versions",
                to="registry.loggedmodel",
            ),
        ),
        migrations.AddIndex(
            model_name="modelversion",
            index=models.Index(
                condition=models.Q(("logged_model__isnull", False)),
                fields=["logged_model"],
                name="model_versions_of_logged_model",
            ),
        ),
        ProtectTenantTable(
            "LoggedModel",
            parents={
                "project_id": "projects",
                "experiment_id": "experiments",
                "source_run_id": "experiment_runs",
            },
        ),
        # The address of its files is made of these.
        ForbidChange("LoggedModel", columns=["project_id", "experiment_id"]),
        ProtectTenantTable(
            "LoggedModelParam", parents=OF_MODEL, grants="SELECT, INSERT", keyed=False
        ),
        ProtectTenantTable(
            "LoggedModelTag", parents=OF_MODEL, grants=REMOVABLE, keyed=False
        ),
        ProtectTenantTable(
            "LoggedModelMetric",
            parents={**OF_MODEL, **OF_RUN},
            grants="SELECT, INSERT",
            keyed=False,
        ),
        ProtectTenantTable(
            "RunModel",
            parents={**OF_MODEL, **OF_RUN},
            grants="SELECT, INSERT",
            keyed=False,
        ),
        migrations.RunSQL(VERSION_KEY, NO_VERSION_KEY),
    ]

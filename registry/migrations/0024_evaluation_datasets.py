"""Evaluation datasets: their records, tags and the experiments they are meant for."""

import django.db.models.deletion
import django.utils.timezone
import mlops.db.uuid7
from django.db import migrations, models

from mlops.db.operations import ForbidChange, ProtectTenantTable

OF_DATASET = {"dataset_id": "evaluation_datasets"}
REMOVABLE = "SELECT, INSERT, UPDATE, DELETE"


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0023_source_run_texts"),
        ("tenants", "0014_idempotency_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="EvaluationDataset",
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
                    "deleted_at",
                    models.DateTimeField(blank=True, editable=False, null=True),
                ),
                ("deleted_by", models.UUIDField(blank=True, editable=False, null=True)),
                (
                    "delete_batch",
                    models.UUIDField(blank=True, editable=False, null=True),
                ),
                ("name", models.CharField(max_length=255)),
                ("digest", models.CharField(max_length=8)),
                ("schema", models.TextField(blank=True)),
                (
                    "record_count",
                    models.PositiveIntegerField(
                        editable=False, null=True, verbose_name="records"
                    ),
                ),
                ("creator_name", models.CharField(blank=True, max_length=255)),
                ("updater_name", models.CharField(blank=True, max_length=255)),
                ("created_by", models.UUIDField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False
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
                "db_table": "evaluation_datasets",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="EvaluationDatasetExperiment",
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
                (
                    "dataset",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="links",
                        to="registry.evaluationdataset",
                    ),
                ),
                (
                    "experiment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="evaluation_links",
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
            ],
            options={
                "verbose_name": "experiment of an evaluation dataset",
                "verbose_name_plural": "experiments of evaluation datasets",
                "db_table": "evaluation_dataset_experiments",
            },
        ),
        migrations.CreateModel(
            name="EvaluationDatasetTag",
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
                ("key", models.CharField(blank=True, max_length=255)),
                ("value", models.CharField(blank=True, max_length=5000)),
                (
                    "dataset",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="tags",
                        to="registry.evaluationdataset",
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
                "db_table": "evaluation_dataset_tags",
            },
        ),
        migrations.CreateModel(
            name="EvaluationRecord",
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
                ("inputs_sha256", models.CharField(max_length=64)),
                ("inputs", models.TextField()),
                ("outputs", models.TextField(blank=True)),
                ("expectations", models.TextField(blank=True)),
                ("tags", models.TextField(blank=True)),
                ("source", models.TextField(blank=True)),
                ("size_bytes", models.PositiveIntegerField()),
                ("creator_name", models.CharField(blank=True, max_length=255)),
                ("updater_name", models.CharField(blank=True, max_length=255)),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False
                    ),
                ),
                (
                    "dataset",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="records",
                        to="registry.evaluationdataset",
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
                "db_table": "evaluation_records",
            },
        ),
        migrations.AddIndex(
            model_name="evaluationdataset",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", True)),
                fields=["project", "-created_at", "-id"],
                name="evaluation_datasets_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="evaluationdataset",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", True)),
                fields=["project", "name", "-created_at", "-id"],
                name="evaluation_datasets_named",
            ),
        ),
        migrations.AddIndex(
            model_name="evaluationdataset",
            index=models.Index(
                fields=["project", "-id"], name="evaluation_datasets_of_project"
            ),
        ),
        migrations.AddConstraint(
            model_name="evaluationdataset",
            constraint=models.CheckConstraint(
                condition=models.Q(("name", ""), _negated=True),
                name="evaluation_datasets_name",
            ),
        ),
        migrations.AddIndex(
            model_name="evaluationdatasetexperiment",
            index=models.Index(
                fields=["experiment", "dataset"],
                include=("organization",),
                name="evaluation_datasets_of",
            ),
        ),
        migrations.AddConstraint(
            model_name="evaluationdatasetexperiment",
            constraint=models.UniqueConstraint(
                fields=("organization", "dataset", "experiment"),
                name="evaluation_dataset_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="evaluationdatasettag",
            constraint=models.UniqueConstraint(
                fields=("organization", "dataset", "key"),
                name="evaluation_dataset_tags_key",
            ),
        ),
        migrations.AddIndex(
            model_name="evaluationrecord",
            index=models.Index(
                fields=["dataset", "id"],
                include=("size_bytes", "organization"),
                name="evaluation_records_of_dataset",
            ),
        ),
        migrations.AddConstraint(
            model_name="evaluationrecord",
            constraint=models.UniqueConstraint(
                fields=("organization", "dataset", "inputs_sha256"),
                name="evaluation_records_inputs",
            ),
        ),
        ProtectTenantTable("EvaluationDataset", parents={"project_id": "projects"}),
        # The experiments that it is meant for are those of its project.
        ForbidChange("EvaluationDataset", columns=["project_id"]),
        ProtectTenantTable(
            "EvaluationDatasetTag", parents=OF_DATASET, grants=REMOVABLE, keyed=False
        ),
        ProtectTenantTable(
            "EvaluationDatasetExperiment",
            parents={**OF_DATASET, "experiment_id": "experiments"},
            grants="SELECT, INSERT, DELETE",
            keyed=False,
        ),
        ProtectTenantTable(
            "EvaluationRecord", parents=OF_DATASET, grants=REMOVABLE, keyed=False
        ),
    ]

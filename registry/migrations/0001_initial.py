import django.db.models.deletion
import mlops.db.uuid7
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Blob",
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
                ("sha256", models.CharField(max_length=64)),
                ("size_bytes", models.BigIntegerField()),
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
                "db_table": "blobs",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "sha256"), name="blobs_sha256"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("size_bytes__gte", 0)), name="blobs_size"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("sha256__regex", "^[0-9a-f]{64}$")),
                        name="blobs_sha256_shape",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Experiment",
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
                ("iid", models.BigIntegerField(editable=False, verbose_name="number")),
                ("name", models.CharField(max_length=500)),
                ("artifact_location", models.CharField(blank=True, max_length=2048)),
                ("created_by", models.UUIDField(editable=False, null=True)),
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
                "db_table": "experiments",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["project", "-created_at", "iid"],
                        name="experiments_of_project",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "project", "iid"),
                        name="experiments_iid",
                    ),
                    models.UniqueConstraint(
                        fields=("organization", "project", "name"),
                        name="experiments_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("iid__gte", 0)), name="experiments_iid_min"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Dataset",
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
                ("name", models.CharField(max_length=500)),
                ("digest", models.CharField(max_length=36)),
                ("source_type", models.CharField(max_length=36)),
                ("source", models.TextField()),
                ("schema", models.TextField(blank=True)),
                ("profile", models.TextField(blank=True)),
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
                    "experiment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="registry.experiment",
                    ),
                ),
            ],
            options={
                "db_table": "datasets",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "experiment", "name", "digest"),
                        name="datasets_name_digest",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ExperimentTag",
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
                    "experiment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="tags",
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
                "db_table": "experiment_tags",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "experiment", "key"),
                        name="experiment_tags_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Package",
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
                ("name", models.CharField(max_length=255)),
                ("version", models.CharField(default="-", max_length=255)),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("generic", "Generic"),
                            ("candidate", "Candidate"),
                            ("model", "Model"),
                        ],
                        default="generic",
                        max_length=9,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("default", "Default"),
                            ("hidden", "Hidden"),
                            ("processing", "Processing"),
                            ("error", "Error"),
                            ("deprecated", "Deprecated"),
                            ("pending_destruction", "pending destruction"),
                        ],
                        default="default",
                        max_length=19,
                    ),
                ),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("created_by", models.UUIDField(editable=False, null=True)),
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
                "db_table": "packages",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["project", "-id"], name="packages_of_project")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("deleted_at__isnull", True),
                            models.Q(("status", "pending_destruction"), _negated=True),
                        ),
                        fields=("organization", "project", "name", "version"),
                        name="packages_live_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("name__istartswith", "ml_candidate_"), _negated=True
                            ),
                            ("name__regex", "^ml_candidate_(0|[1-9][0-9]*)$"),
                            _connector="OR",
                        ),
                        name="packages_candidate_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "default",
                                    "hidden",
                                    "processing",
                                    "error",
                                    "deprecated",
                                    "pending_destruction",
                                ],
                            )
                        ),
                        name="packages_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("type__in", ["generic", "candidate", "model"])
                        ),
                        name="packages_type",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RegisteredModel",
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
                ("name", models.CharField(max_length=256)),
                ("description", models.TextField(blank=True)),
                ("created_by", models.UUIDField(editable=False, null=True)),
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
                "db_table": "registered_models",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["project", "-id"],
                        name="registered_models_of_project",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=("organization", "project", "name"),
                        name="registered_models_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("name", ""), _negated=True),
                            models.Q(("name__contains", "/"), _negated=True),
                            models.Q(("name__contains", ":"), _negated=True),
                        ),
                        name="registered_models_name_shape",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Run",
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
                (
                    "iid",
                    models.BigIntegerField(
                        editable=False, verbose_name="candidate number"
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=500)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("RUNNING", "Running"),
                            ("SCHEDULED", "Scheduled"),
                            ("FINISHED", "Finished"),
                            ("FAILED", "Failed"),
                            ("KILLED", "Killed"),
                        ],
                        default="RUNNING",
                        max_length=9,
                    ),
                ),
                ("user_name", models.CharField(blank=True, max_length=256)),
                ("start_time_ms", models.BigIntegerField(default=0)),
                ("end_time_ms", models.BigIntegerField(blank=True, null=True)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                (
                    "experiment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="runs",
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
            ],
            options={
                "db_table": "experiment_runs",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["experiment", "-start_time_ms", "id"],
                        include=("organization",),
                        name="experiment_runs_newest",
                    ),
                    models.Index(
                        fields=["project", "-id"], name="experiment_runs_of_project"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "project", "iid"),
                        name="experiment_runs_iid",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "RUNNING",
                                    "SCHEDULED",
                                    "FINISHED",
                                    "FAILED",
                                    "KILLED",
                                ],
                            )
                        ),
                        name="experiment_runs_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("iid__gte", 1)),
                        name="experiment_runs_iid_min",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ModelVersion",
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
                ("version", models.IntegerField(editable=False)),
                (
                    "stage",
                    models.CharField(
                        choices=[
                            ("None", "None"),
                            ("Staging", "Staging"),
                            ("Production", "Production"),
                            ("Archived", "Archived"),
                        ],
                        default="None",
                        max_length=10,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("PENDING_REGISTRATION", "Pending registration"),
                            ("READY", "Ready"),
                            ("FAILED_REGISTRATION", "Failed registration"),
                        ],
                        default="READY",
                        max_length=20,
                    ),
                ),
                ("status_message", models.TextField(blank=True)),
                ("description", models.TextField(blank=True)),
                ("source", models.CharField(blank=True, max_length=2048)),
                ("run_link", models.CharField(blank=True, max_length=500)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("created_by", models.UUIDField(editable=False, null=True)),
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
                    "package",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="model_versions",
                        to="registry.package",
                    ),
                ),
                (
                    "registered_model",
                    models.ForeignKey(
                        db_column="model_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="versions",
                        to="registry.registeredmodel",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="model_versions",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "model_versions",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["registered_model", "stage"],
                        name="idx_model_versions_model_stage",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("deleted_at__isnull", True), ("stage", "Production")
                        ),
                        fields=["organization", "-created_at"],
                        name="idx_model_versions_org_production",
                    ),
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["project", "-id"],
                        name="model_versions_of_project",
                    ),
                    models.Index(
                        condition=models.Q(("run__isnull", False)),
                        fields=["run"],
                        name="model_versions_of_run",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "registered_model", "version"),
                        name="idx_model_versions_number",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("version__gte", 1)),
                        name="model_versions_version_min",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("stage__in", ["None", "Staging", "Production", "Archived"])
                        ),
                        name="model_versions_stage",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "PENDING_REGISTRATION",
                                    "READY",
                                    "FAILED_REGISTRATION",
                                ],
                            )
                        ),
                        name="model_versions_status",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Deployment",
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
                ("environment", models.CharField(default="production", max_length=63)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("active", "Active"),
                            ("failed", "Failed"),
                            ("retired", "Retired"),
                        ],
                        default="pending",
                        max_length=7,
                    ),
                ),
                ("endpoint_url", models.URLField(blank=True, max_length=500)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("deployed_at", models.DateTimeField(blank=True, null=True)),
                ("retired_at", models.DateTimeField(blank=True, null=True)),
                ("created_by", models.UUIDField(editable=False, null=True)),
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
                    "model_version",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="deployments",
                        to="registry.modelversion",
                    ),
                ),
            ],
            options={
                "db_table": "deployments",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=["project", "-id"],
                        name="deployments_of_project",
                    ),
                    models.Index(
                        fields=["model_version"], name="deployments_of_version"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=("organization", "project", "name", "environment"),
                        name="deployments_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["pending", "active", "failed", "retired"])
                        ),
                        name="deployments_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("retired_at__isnull", True),
                            ("deployed_at__isnull", True),
                            ("retired_at__gte", models.F("deployed_at")),
                            _connector="OR",
                        ),
                        name="deployments_period",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ModelVersionTag",
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
                    "model_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="tags",
                        to="registry.modelversion",
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
                "db_table": "model_version_tags",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "model_version", "key"),
                        name="model_version_tags_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PackageFile",
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
                ("path", models.CharField(max_length=1024)),
                ("size_bytes", models.BigIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                (
                    "blob",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="files",
                        to="registry.blob",
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
                    "package",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="files",
                        to="registry.package",
                    ),
                ),
            ],
            options={
                "db_table": "package_files",
                "ordering": ["path"],
                "indexes": [
                    models.Index(
                        fields=["organization", "blob"], name="package_files_of_blob"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "package", "path"),
                        name="package_files_path",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("size_bytes__gte", 0)),
                        name="package_files_size",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Alias",
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
                ("name", models.CharField(max_length=255)),
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
                    "model_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="aliases",
                        to="registry.modelversion",
                    ),
                ),
                (
                    "registered_model",
                    models.ForeignKey(
                        db_column="model_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="aliases",
                        to="registry.registeredmodel",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "aliases",
                "db_table": "model_aliases",
                "indexes": [
                    models.Index(
                        fields=["organization", "model_version"],
                        name="model_aliases_of_version",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "registered_model", "name"),
                        name="model_aliases_name",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RegisteredModelTag",
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
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.organization",
                    ),
                ),
                (
                    "registered_model",
                    models.ForeignKey(
                        db_column="model_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="tags",
                        to="registry.registeredmodel",
                    ),
                ),
            ],
            options={
                "db_table": "registered_model_tags",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "registered_model", "key"),
                        name="registered_model_tags_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Param",
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
                ("experiment_id", models.UUIDField(editable=False)),
                ("key", models.CharField(max_length=250)),
                ("value", models.CharField(blank=True, max_length=6000)),
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
                (
                    "run",
                    models.ForeignKey(
                        db_column="experiment_run_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="params",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "run_params",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "run", "key"), name="run_params_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Metric",
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
                (
                    "run",
                    models.ForeignKey(
                        db_column="experiment_run_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="metrics",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "run_metrics",
                "indexes": [
                    models.Index(
                        fields=["run", "name", "step"],
                        include=("value", "organization_id"),
                        name="idx_run_metrics_run_name",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LatestMetric",
            fields=[
                (
                    "id",
                    models.UUIDField(editable=False, primary_key=True, serialize=False),
                ),
                ("organization_id", models.UUIDField(editable=False)),
                ("experiment_id", models.UUIDField(editable=False)),
                ("name", models.CharField(db_column="metric_name", max_length=250)),
                ("value", models.FloatField()),
                ("timestamp_ms", models.BigIntegerField()),
                ("step", models.BigIntegerField(default=0)),
                (
                    "run",
                    models.ForeignKey(
                        db_column="experiment_run_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="latest_metrics",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "latest_metrics",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization_id", "run", "name"),
                        name="latest_metrics_name",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RunInput",
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
                ("tags", models.JSONField(default=list)),
                (
                    "dataset",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="inputs",
                        to="registry.dataset",
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
                        related_name="inputs",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "run_inputs",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "run", "dataset"),
                        name="run_inputs_dataset",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RunTag",
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
                ("experiment_id", models.UUIDField(editable=False)),
                ("key", models.CharField(max_length=250)),
                ("value", models.CharField(blank=True, max_length=8000)),
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
                (
                    "run",
                    models.ForeignKey(
                        db_column="experiment_run_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="tags",
                        to="registry.run",
                    ),
                ),
            ],
            options={
                "db_table": "run_tags",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "run", "key"), name="run_tags_key"
                    )
                ],
            },
        ),
    ]

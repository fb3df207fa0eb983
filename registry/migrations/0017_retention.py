"""Rules by which packages go by themselves, or stay."""

import django.db.models.deletion
import mlops.db.uuid7
from django.db import migrations, models

from mlops.db.operations import ProtectTenantTable


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0016_multipart_uploads"),
        ("tenants", "0013_storage_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="RetentionRule",
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
                ("name", models.CharField(max_length=200)),
                (
                    "effect",
                    models.CharField(
                        choices=[("delete", "delete"), ("keep", "keep")],
                        default="delete",
                        max_length=6,
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True)),
                (
                    "name_pattern",
                    models.CharField(
                        default="*",
                        help_text="Name of the packages, in which * stands for any text.",
                        max_length=255,
                    ),
                ),
                (
                    "package_type",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("generic", "Generic"),
                            ("candidate", "Candidate"),
                            ("model", "Model"),
                        ],
                        default="",
                        help_text="Empty: packages of every type.",
                        max_length=9,
                    ),
                ),
                (
                    "package_status",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("default", "Default"),
                            ("hidden", "Hidden"),
                            ("error", "Error"),
                            ("deprecated", "Deprecated"),
                        ],
                        default="",
                        help_text="Empty: whatever can be read, and uploads that failed.",
                        max_length=19,
                    ),
                ),
                (
                    "tag_key",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="A tag of the run or logged model, or a key of the metadata.",
                        max_length=250,
                    ),
                ),
                (
                    "tag_value",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Empty: any value.",
                        max_length=5000,
                    ),
                ),
                ("older_than_days", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "keep_newest",
                    models.PositiveIntegerField(
                        blank=True, help_text="Spare the newest so many.", null=True
                    ),
                ),
                (
                    "counting",
                    models.CharField(
                        choices=[
                            ("all", "all that the rule matches"),
                            ("name", "versions of one name"),
                        ],
                        default="all",
                        help_text="Among which packages the newest are counted.",
                        max_length=4,
                    ),
                ),
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
                "db_table": "retention_rules",
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "project", "name"),
                        name="retention_rules_name",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("effect", "keep"),
                                ("keep_newest", None),
                                ("older_than_days", None),
                            ),
                            models.Q(
                                ("effect", "delete"),
                                ("older_than_days__isnull", False),
                            ),
                            models.Q(
                                ("effect", "delete"), ("keep_newest__isnull", False)
                            ),
                            _connector="OR",
                        ),
                        name="retention_rules_bound",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("effect__in", ["delete", "keep"])),
                        name="retention_rules_effect",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("counting__in", ["all", "name"])),
                        name="retention_rules_counting",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("package_type__in", ["", "generic", "candidate", "model"])
                        ),
                        name="retention_rules_type",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "package_status__in",
                                ["", "default", "hidden", "deprecated", "error"],
                            )
                        ),
                        name="retention_rules_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("tag_value", ""),
                            models.Q(("tag_key", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="retention_rules_tag",
                    ),
                ],
            },
        ),
        ProtectTenantTable(
            "RetentionRule",
            parents={"project_id": "projects"},
            grants="SELECT, INSERT, UPDATE, DELETE",
        ),
    ]

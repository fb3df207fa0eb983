"""Packages that people name: protected names, counted storage, downloads."""

import django.db.models.deletion
from django.db import migrations, models

import mlops.db.uuid7

TYPES = [("generic", "Generic"), ("candidate", "Candidate"), ("model", "Model")]
ROLES = [("maintainer", "Maintainer"), ("admin", "Admin"), ("owner", "Owner")]


def row(*own):
    """What each row of a project has, around what is its own."""
    restrict = django.db.models.deletion.RESTRICT
    return [
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
        *own,
        (
            "organization",
            models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=restrict,
                to="tenants.organization",
            ),
        ),
        (
            "project",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=restrict,
                to="tenants.project",
            ),
        ),
    ]


def role(meaning):
    return models.CharField(
        blank=True, choices=ROLES, default="", help_text=meaning, max_length=10
    )


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0015_logged_model_metrics"),
        ("tenants", "0013_storage_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="PackageProtectionRule",
            fields=row(
                (
                    "name_pattern",
                    models.CharField(
                        help_text="A name in which * stands for any text.",
                        max_length=255,
                    ),
                ),
                (
                    "package_type",
                    models.CharField(
                        blank=True,
                        choices=TYPES,
                        default="",
                        help_text="Empty: packages of every type.",
                        max_length=9,
                    ),
                ),
                (
                    "push_role",
                    role("Who may upload, at the least; empty: as without the rule."),
                ),
                (
                    "delete_role",
                    role("Who may delete, at the least; empty: as without the rule."),
                ),
                ("created_by", models.UUIDField(editable=False, null=True)),
            ),
            options={
                "verbose_name": "protection rule",
                "db_table": "package_protection_rules",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="StorageUsage",
            fields=row(
                ("size_bytes", models.BigIntegerField(default=0)),
                ("file_count", models.BigIntegerField(default=0)),
            ),
            options={
                "verbose_name_plural": "storage usage",
                "db_table": "storage_usage",
            },
        ),
        migrations.AddField(
            model_name="package",
            name="former_status",
            field=models.CharField(
                db_default="", default="", editable=False, max_length=19
            ),
        ),
        migrations.AddField(
            model_name="package",
            name="last_downloaded_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="package",
            index=models.Index(
                fields=["project", "type", "id"], name="packages_by_type"
            ),
        ),
        migrations.AddIndex(
            model_name="package",
            index=models.Index(
                fields=["project", "version", "id"], name="packages_by_version"
            ),
        ),
        migrations.AddConstraint(
            model_name="package",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("name__istartswith", "ml_model_"), _negated=True),
                    ("name__regex", "^ml_model_[0-9a-f]{32}$"),
                    _connector="OR",
                ),
                name="packages_logged_model_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="packageprotectionrule",
            constraint=models.UniqueConstraint(
                fields=("organization", "project", "name_pattern", "package_type"),
                name="package_protection_rules_pattern",
            ),
        ),
        migrations.AddConstraint(
            model_name="packageprotectionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("delete_role", ""), ("push_role", ""), _negated=True
                ),
                name="package_protection_rules_protect",
                violation_error_message="Name at least one role, to push or to delete.",
            ),
        ),
        migrations.AddConstraint(
            model_name="packageprotectionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("push_role__in", ["", "maintainer", "admin", "owner"]),
                    ("delete_role__in", ["", "maintainer", "admin", "owner"]),
                ),
                name="package_protection_rules_roles",
            ),
        ),
        migrations.AddConstraint(
            model_name="packageprotectionrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("package_type__in", ["", "generic", "candidate", "model"])
                ),
                name="package_protection_rules_type",
            ),
        ),
        migrations.AddConstraint(
            model_name="storageusage",
            constraint=models.UniqueConstraint(
                fields=("organization", "project"), name="storage_usage_project"
            ),
        ),
    ]

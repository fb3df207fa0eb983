"""Uploads in parts, and the parts that have arrived."""

from django.db import migrations, models

from mlops.db.operations import ForbidChange, ProtectTenantTable
from mlops.db.uuid7 import uuid7

REMOVABLE = "SELECT, INSERT, UPDATE, DELETE"
KEY = models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)
ORGANIZATION = models.ForeignKey(
    db_index=False,
    editable=False,
    on_delete=models.RESTRICT,
    to="tenants.organization",
)


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0013_protect_package_registry"),
        ("tenants", "0002_protect"),
    ]

    operations = [
        migrations.CreateModel(
            name="MultipartUpload",
            fields=[
                ("id", KEY),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("organization", ORGANIZATION),
                (
                    "project",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=models.RESTRICT,
                        to="tenants.project",
                    ),
                ),
                ("location", models.CharField(max_length=2048)),
                ("part_count", models.PositiveIntegerField()),
                ("reference", models.CharField(blank=True, max_length=1024)),
                ("completed_at", models.DateTimeField(blank=True, null=True)),
                ("created_by", models.UUIDField(editable=False, null=True)),
            ],
            options={
                "db_table": "multipart_uploads",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("completed_at__isnull", True)),
                        fields=["organization", "project"],
                        name="multipart_uploads_open",
                    ),
                    models.Index(
                        fields=["created_at"], name="multipart_uploads_created"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("part_count__range", (1, 10000))),
                        name="multipart_uploads_part_count",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UploadPart",
            fields=[
                ("id", KEY),
                ("organization", ORGANIZATION),
                (
                    "upload",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=models.CASCADE,
                        related_name="parts",
                        to="registry.multipartupload",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("size_bytes", models.BigIntegerField()),
                ("sha256", models.CharField(max_length=64)),
            ],
            options={
                "db_table": "upload_parts",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "upload", "number"),
                        name="upload_parts_number",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number__range", (1, 10000))),
                        name="upload_parts_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("size_bytes__gte", 0)),
                        name="upload_parts_size",
                    ),
                ],
            },
        ),
        ProtectTenantTable(
            "MultipartUpload", parents={"project_id": "projects"}, grants=REMOVABLE
        ),
        # A URL that was signed for an upload leads to one place for ever.
        ForbidChange(
            "MultipartUpload", columns=["project_id", "location", "part_count"]
        ),
        ProtectTenantTable(
            "UploadPart",
            parents={"upload_id": "multipart_uploads"},
            grants=REMOVABLE,
            keyed=False,
        ),
    ]

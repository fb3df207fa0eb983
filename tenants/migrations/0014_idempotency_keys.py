"""Answers to POSTs that bore a key, for callers that lost them."""

import django.db.models.deletion
import mlops.db.uuid7
from django.db import migrations, models

from mlops.db.operations import ProtectTenantTable


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0012_retired_digests"),
    ]

    operations = [
        migrations.CreateModel(
            name="IdempotencyKey",
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
                ("caller_id", models.UUIDField()),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField(default=0)),
                ("answer", models.TextField(default="")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
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
                "db_table": "idempotency_keys",
                "indexes": [
                    models.Index(fields=["created_at"], name="idempotency_keys_created")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "caller_id", "key"),
                        name="idempotency_keys_of_caller",
                    )
                ],
            },
        ),
        ProtectTenantTable("IdempotencyKey"),
    ]

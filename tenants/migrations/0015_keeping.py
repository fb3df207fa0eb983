"""How long an organization keeps what was deleted, and what its trail keeps."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0014_idempotency_keys"),
    ]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="audit_data_events",
            field=models.BooleanField(
                default=False,
                help_text="One entry for each batch of metrics, params, run tags and points.",
            ),
        ),
        migrations.AddField(
            model_name="organization",
            name="legal_hold",
            field=models.BooleanField(
                default=False,
                help_text="Nothing of it is purged or leaves the audit trail.",
            ),
        ),
        migrations.AddField(
            model_name="organization",
            name="legal_hold_reason",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="organization",
            name="retention_days",
            field=models.PositiveSmallIntegerField(
                default=30,
                help_text="How many days what was deleted may be restored (7 to 365).",
                validators=[
                    django.core.validators.MinValueValidator(7),
                    django.core.validators.MaxValueValidator(365),
                ],
            ),
        ),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("retention_days__gte", 7), ("retention_days__lte", 365)
                ),
                name="organizations_retention_days",
            ),
        ),
    ]

"""What a project switches off for everybody, and downloads for its viewers."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0011_grant_account_tables")]

    operations = [
        migrations.AddField(
            model_name="project",
            name="switched_off",
            field=ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("tracking", "experiments, runs and artifacts"),
                        ("registry", "models, versions and deployments"),
                        ("monitoring", "points, reports and alerts"),
                    ],
                    max_length=10,
                ),
                blank=True,
                db_default=[],
                default=list,
                help_text="Features whose every address answers 404, whoever asks.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="protected_aliases",
            field=ArrayField(
                base_field=models.CharField(max_length=255),
                blank=True,
                db_default=[],
                default=list,
                help_text="Aliases that only move by the right to promote, as "
                "Production does.",
                size=50,
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="viewers_download",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Viewers may list and download artifacts.",
            ),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    switched_off__contained_by=["tracking", "registry", "monitoring"]
                ),
                name="projects_switched_off",
            ),
        ),
    ]

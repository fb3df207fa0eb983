"""What packages may hold, and what becomes of an upload to a path that is taken."""

from django.db import migrations, models

LIMITS = {"storage_limit_bytes": "bytes", "storage_limit_files": "files"}
AT_LEAST_NONE = models.Q(
    ("storage_limit_bytes__gte", 0), ("storage_limit_files__gte", 0)
)


def limits_of(model):
    return [
        migrations.AddField(
            model_name=model,
            name=name,
            field=models.BigIntegerField(
                blank=True,
                help_text=f"The most {of} that its packages may hold; empty: as the"
                " installation has it.",
                null=True,
            ),
        )
        for name, of in LIMITS.items()
    ]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_single_sign_on")]

    operations = [
        *limits_of("organization"),
        *limits_of("project"),
        migrations.AddField(
            model_name="project",
            name="duplicate_files",
            field=models.CharField(
                choices=[("allow", "replace the file"), ("deny", "refuse the upload")],
                db_default="allow",
                default="allow",
                help_text="What becomes of an upload to a path of a package where other"
                " bytes stand; MLflow's clients always replace.",
                max_length=5,
            ),
        ),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.CheckConstraint(
                condition=AT_LEAST_NONE, name="organizations_storage_limits"
            ),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=models.Q(("duplicate_files__in", ["allow", "deny"])),
                name="projects_duplicate_files",
            ),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=AT_LEAST_NONE, name="projects_storage_limits"
            ),
        ),
    ]

"""The list of erased persons, for a backup that is restored later."""

import mlops.db.uuid7
from django.db import migrations, models

GRANT = """
GRANT SELECT ON erasures TO app_rw;
GRANT SELECT, INSERT, UPDATE ON erasures TO app_maint;
"""
REVOKE = "REVOKE ALL ON erasures FROM app_rw, app_maint"


class Migration(migrations.Migration):
    dependencies = [("tenants", "0022_purge")]

    operations = [
        migrations.CreateModel(
            name="Erasure",
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
                ("user_id", models.UUIDField(editable=False, unique=True)),
                ("asked_at", models.DateTimeField(auto_now_add=True)),
                ("finished_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={"db_table": "erasures", "default_permissions": ("view",)},
        ),
        migrations.RunSQL(GRANT, REVOKE),
    ]

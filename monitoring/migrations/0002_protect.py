from django.db import migrations

from mlops.db.operations import ProtectTenantTable

IN_PROJECT = {"project_id": "projects"}


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0001_initial"),
        ("registry", "0002_protect"),
    ]

    operations = [
        ProtectTenantTable(
            "AlertRule", parents={**IN_PROJECT, "deployment_id": "deployments"}
        ),
        ProtectTenantTable(
            "Alert",
            parents={
                **IN_PROJECT,
                "rule_id": "alert_rules",
                "deployment_id": "deployments",
            },
        ),
        ProtectTenantTable(
            "DriftReport", parents={**IN_PROJECT, "deployment_id": "deployments"}
        ),
    ]

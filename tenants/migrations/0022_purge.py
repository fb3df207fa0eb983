"""Until when what was deleted may be restored, and what only holds an address."""

from django.db import migrations, models

TABLES = {
    "organization": "organizations",
    "membership": "organization_memberships",
    "project": "projects",
    "projectmember": "project_members",
    "serviceaccount": "service_accounts",
}


def moment() -> models.DateTimeField:
    return models.DateTimeField(blank=True, editable=False, null=True)


def purge_index(table: str) -> models.Index:
    return models.Index(
        condition=models.Q(("deleted_at__isnull", False)),
        fields=["purge_after"],
        name=f"{table}_purge",
    )


class Migration(migrations.Migration):
    dependencies = [("tenants", "0015_keeping")]

    operations = [
        *(migrations.AddField(model, "purge_after", moment()) for model in TABLES),
        *(
            migrations.AddIndex(model, purge_index(table))
            for model, table in TABLES.items()
        ),
        migrations.AddField("organization", "purged_at", moment()),
        migrations.AddField("project", "purged_at", moment()),
    ]

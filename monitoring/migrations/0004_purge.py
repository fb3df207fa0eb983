"""Until when what was deleted may be restored."""

from django.db import migrations, models

TABLES = {
    "alertrule": "alert_rules",
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
    dependencies = [("monitoring", "0003_points")]

    operations = [
        *(migrations.AddField(model, "purge_after", moment()) for model in TABLES),
        *(
            migrations.AddIndex(model, purge_index(table))
            for model, table in TABLES.items()
        ),
    ]

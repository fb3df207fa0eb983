from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0023_erasures")]

    operations = [
        migrations.AddIndex(
            "membership",
            models.Index(
                condition=models.Q(("deleted_at__isnull", True)),
                fields=["organization", "-id"],
                name="organization_memberships_newest",
            ),
        ),
    ]

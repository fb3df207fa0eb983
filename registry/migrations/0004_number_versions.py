from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0003_default_experiment")]

    operations = [
        migrations.AddField(
            "registeredmodel",
            "last_version",
            models.IntegerField(default=0, editable=False),
        ),
    ]

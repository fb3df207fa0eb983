"""What a client names as the run of a model, and is no id of one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0022_search_datasets"),
    ]

    operations = [
        migrations.AddField(
            model_name="loggedmodel",
            name="source_run_text",
            field=models.CharField(blank=True, max_length=32),
        ),
    ]

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0005_tracking_functions")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False)),
                fields=["experiment", "-start_time_ms", "id"],
                include=("organization",),
                name="experiment_runs_deleted",
            ),
        ),
    ]

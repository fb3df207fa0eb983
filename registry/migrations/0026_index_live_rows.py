"""Lists show what is not deleted: their indexes hold nothing else."""

from django.db import migrations, models

LISTS = {
    "experiment_runs_of_project": ("run", ["project", "-id"]),
    "logged_models_of_project": ("loggedmodel", ["project", "-id"]),
    "evaluation_datasets_of_project": ("evaluationdataset", ["project", "-id"]),
    "packages_of_project": ("package", ["project", "-id"]),
    "packages_of_organization": ("package", ["organization", "-id"]),
    "packages_by_type": ("package", ["project", "type", "id"]),
    "packages_by_version": ("package", ["project", "version", "id"]),
}
ALIVE = models.Q(("deleted_at__isnull", True))


class Migration(migrations.Migration):
    dependencies = [("registry", "0025_purge")]

    operations = [
        *(migrations.RemoveIndex(model, name) for name, (model, _) in LISTS.items()),
        *(
            migrations.AddIndex(
                model, models.Index(condition=ALIVE, fields=fields, name=name)
            )
            for name, (model, fields) in LISTS.items()
        ),
    ]

"""Until when what was deleted may be restored."""

from django.db import migrations, models

from mlops.db.operations import GuardFacts

# A model that stays keeps what a purged run has logged of it; and without an index of
# its own the key would read all points for each run that goes. New points are checked
# by the guard.
KEY = "logged_model_metrics_experiment_run_id_organization_fk"
FORGET_KEY = f"ALTER TABLE logged_model_metrics DROP CONSTRAINT {KEY}"
KEEP_KEY = f"""
ALTER TABLE logged_model_metrics ADD CONSTRAINT {KEY}
    FOREIGN KEY (organization_id, experiment_run_id)
    REFERENCES experiment_runs (organization_id, id) NOT VALID
"""
TABLES = {
    "experiment": "experiments",
    "run": "experiment_runs",
    "loggedmodel": "logged_models",
    "evaluationdataset": "evaluation_datasets",
    "registeredmodel": "registered_models",
    "modelversion": "model_versions",
    "package": "packages",
    "deployment": "deployments",
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
    dependencies = [("registry", "0024_evaluation_datasets")]

    operations = [
        *(migrations.AddField(model, "purge_after", moment()) for model in TABLES),
        *(
            migrations.AddIndex(model, purge_index(table))
            for model, table in TABLES.items()
        ),
        migrations.AddField(
            "blob", "released_at", models.DateTimeField(editable=False, null=True)
        ),
        migrations.RunSQL(FORGET_KEY, KEEP_KEY),
        GuardFacts(
            "LoggedModelMetric", column="experiment_run_id", parent="experiment_runs"
        ),
    ]

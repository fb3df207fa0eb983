"""Runs are found by their params, tags and newest metrics within an experiment.

Covering, organization and all: row-level security then needs no look at the rows.
"""

from django.db import migrations, models
from django.db.models.functions import Left

HEAD = models.GeneratedField(
    expression=Left("value", 250),
    output_field=models.CharField(max_length=250, db_collation="C"),
    db_persist=True,
)

# An experiment implies its organization. Unaware of it, the planner expects a fraction
# of the rows that there are, the smaller the more tenants there are.
KNOWN = """
CREATE STATISTICS {table}_organization (dependencies)
    ON organization_id, experiment_id FROM {table};
"""
TABLES = ("run_params", "run_tags", "latest_metrics")
# How long the list of experiments is whose sizes the planner knows. Of those outside of
# it, it expects the mean, which is small, and then reads a large one for each run.
KNOWN_SIZES = "ALTER TABLE {table} ALTER COLUMN experiment_id SET STATISTICS {count}"


class Migration(migrations.Migration):
    dependencies = [("registry", "0018_packages_of_organization")]

    operations = [
        migrations.AddField("param", "head", HEAD),
        migrations.AddField("runtag", "head", HEAD.clone()),
        migrations.AddIndex(
            "param",
            models.Index(
                fields=["experiment_id", "key", "head"],
                include=("run", "organization"),
                name="run_params_by_value",
            ),
        ),
        migrations.AddIndex(
            "runtag",
            models.Index(
                fields=["experiment_id", "key", "head"],
                include=("run", "organization"),
                name="run_tags_by_value",
            ),
        ),
        migrations.AddIndex(
            "latestmetric",
            models.Index(
                fields=["experiment_id", "name", "value"],
                include=("run", "organization_id"),
                name="latest_metrics_by_value",
            ),
        ),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["experiment", "status", "-start_time_ms", "id"],
                include=("organization", "end_time_ms"),
                name="experiment_runs_by_status",
                condition=models.Q(deleted_at__isnull=True),
            ),
        ),
        *(
            migrations.RunSQL(
                KNOWN.format(table=table), f"DROP STATISTICS {table}_organization"
            )
            for table in TABLES
        ),
        *(
            migrations.RunSQL(
                KNOWN_SIZES.format(table=table, count=500),
                KNOWN_SIZES.format(table=table, count=-1),
            )
            for table in (*TABLES, "experiment_runs")
        ),
    ]

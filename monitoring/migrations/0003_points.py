"""Points: partitioned by month on the id, whose first 48 bits are the point's time."""

import django.db.models.deletion
from django.db import migrations, models

from mlops.db.operations import GuardFacts, ProtectTenantTable

CREATE = """
CREATE TABLE model_monitoring (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    metric_name varchar(250) NOT NULL,
    segment varchar(250) NOT NULL,
    recorded_at timestamptz NOT NULL,
    value double precision NOT NULL,
    ingested_at timestamptz NOT NULL,
    -- The id tells the month, so it must tell the truth: its time is recorded_at.
    CONSTRAINT model_monitoring_id_is_time CHECK (
        ('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint
        = floor(extract(epoch FROM recorded_at) * 1000)::bigint)
) PARTITION BY RANGE (id);
CREATE INDEX idx_model_monitoring_deployment_metric
    ON model_monitoring (deployment_id, metric_name, recorded_at)
    INCLUDE (value, organization_id, id);
-- Read by the whole fleet's last hours: rows arrive about in time order.
CREATE INDEX idx_model_monitoring_fleet
    ON model_monitoring USING brin (recorded_at) WITH (pages_per_range = 32);
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0002_protect")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(CREATE, "DROP TABLE model_monitoring")
            ],
            state_operations=[
                migrations.CreateModel(
                    name="MonitoringPoint",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("organization_id", models.UUIDField(editable=False)),
                        ("metric_name", models.CharField(max_length=250)),
                        ("segment", models.CharField(blank=True, max_length=250)),
                        ("recorded_at", models.DateTimeField()),
                        ("value", models.FloatField()),
                        ("ingested_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "deployment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                to="registry.deployment",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "model_monitoring",
                        "ordering": ["-id"],
                    },
                ),
                migrations.AddIndex(
                    model_name="monitoringpoint",
                    index=models.Index(
                        fields=["deployment", "metric_name", "recorded_at"],
                        include=["value", "organization_id", "id"],
                        name="idx_model_monitoring_deployment_metric",
                    ),
                ),
            ],
        ),
        ProtectTenantTable("MonitoringPoint", grants="SELECT, INSERT", keyed=False),
        GuardFacts("MonitoringPoint", column="deployment_id", parent="deployments"),
    ]

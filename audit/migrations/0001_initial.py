"""The audit trail: partitioned by month, owned by a role that nobody signs in as."""

from django.db import migrations, models

from mlops.db.operations import TENANT

CREATE = f"""
CREATE TABLE audit_logs (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid,
    project_id uuid,
    created_at timestamptz NOT NULL,
    transaction_id bigint NOT NULL,
    actor_kind varchar(16) NOT NULL,
    actor_id uuid,
    actor_label varchar(200) NOT NULL,
    token_public_id varchar(12) NOT NULL,
    request_id varchar(64) NOT NULL,
    address varchar(45) NOT NULL,
    route varchar(200) NOT NULL,
    action varchar(100) NOT NULL,
    outcome varchar(6) NOT NULL,
    object_type varchar(63) NOT NULL,
    object_id uuid,
    object_label varchar(200) NOT NULL,
    before jsonb,
    after jsonb,
    reason varchar(500) NOT NULL,
    db_role varchar(63) NOT NULL,
    application_name varchar(63) NOT NULL,
    CONSTRAINT idx_audit_logs_page UNIQUE (organization_id, id),
    CONSTRAINT audit_logs_outcome CHECK (outcome IN ('ok', 'denied', 'failed'))
) PARTITION BY RANGE (id);
CREATE INDEX idx_audit_logs_org_created ON audit_logs (organization_id, created_at);
CREATE INDEX idx_audit_logs_sealing ON audit_logs (transaction_id);
CREATE INDEX idx_audit_logs_of_object
    ON audit_logs (organization_id, object_type, object_id, id DESC);
CREATE INDEX idx_audit_logs_of_actor
    ON audit_logs (organization_id, actor_id, id DESC);

ALTER TABLE audit_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_logs_open ON audit_logs FOR SELECT TO app_rw USING (true);
CREATE POLICY audit_logs_tenant ON audit_logs AS RESTRICTIVE FOR SELECT TO app_rw
    USING (organization_id = {TENANT});
-- FORCE binds the owner too: it may add and nothing else.
CREATE POLICY audit_logs_add ON audit_logs FOR INSERT TO audit_owner WITH CHECK (true);
GRANT SELECT ON audit_logs TO app_rw, app_maint;
ALTER TABLE audit_logs OWNER TO audit_owner;
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenants", "0002_protect")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, "DROP TABLE audit_logs")],
            state_operations=[
                migrations.CreateModel(
                    name="AuditLog",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        (
                            "organization_id",
                            models.UUIDField(editable=False, null=True),
                        ),
                        ("project_id", models.UUIDField(editable=False, null=True)),
                        ("created_at", models.DateTimeField(editable=False)),
                        ("transaction_id", models.BigIntegerField(editable=False)),
                        ("actor_kind", models.CharField(max_length=16)),
                        ("actor_id", models.UUIDField(null=True)),
                        ("actor_label", models.CharField(blank=True, max_length=200)),
                        (
                            "token_public_id",
                            models.CharField(blank=True, max_length=12),
                        ),
                        ("request_id", models.CharField(blank=True, max_length=64)),
                        ("address", models.CharField(blank=True, max_length=45)),
                        ("route", models.CharField(blank=True, max_length=200)),
                        ("action", models.CharField(max_length=100)),
                        (
                            "outcome",
                            models.CharField(
                                choices=[
                                    ("ok", "Ok"),
                                    ("denied", "Denied"),
                                    ("failed", "Failed"),
                                ],
                                default="ok",
                                max_length=6,
                            ),
                        ),
                        ("object_type", models.CharField(blank=True, max_length=63)),
                        ("object_id", models.UUIDField(null=True)),
                        ("object_label", models.CharField(blank=True, max_length=200)),
                        ("before", models.JSONField(null=True)),
                        ("after", models.JSONField(null=True)),
                        ("reason", models.CharField(blank=True, max_length=500)),
                        ("db_role", models.CharField(max_length=63)),
                        (
                            "application_name",
                            models.CharField(blank=True, max_length=63),
                        ),
                    ],
                    options={
                        "verbose_name": "audit log",
                        "db_table": "audit_logs",
                        "ordering": ["-id"],
                        "default_permissions": ("view",),
                        "indexes": [
                            models.Index(
                                fields=["organization_id", "created_at"],
                                name="idx_audit_logs_org_created",
                            ),
                            models.Index(
                                fields=["transaction_id"],
                                name="idx_audit_logs_sealing",
                            ),
                            models.Index(
                                fields=[
                                    "organization_id",
                                    "object_type",
                                    "object_id",
                                    "-id",
                                ],
                                name="idx_audit_logs_of_object",
                            ),
                            models.Index(
                                fields=["organization_id", "actor_id", "-id"],
                                name="idx_audit_logs_of_actor",
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("organization_id", "id"),
                                name="idx_audit_logs_page",
                            )
                        ],
                    },
                ),
            ],
        ),
    ]

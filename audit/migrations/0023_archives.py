"""Which months of the trail lie where as files, signed: the months may then go."""

from django.db import migrations, models

ARCHIVES = """
CREATE TABLE audit_archives (
    id uuid NOT NULL PRIMARY KEY,
    month date NOT NULL,
    first_id uuid NOT NULL,
    end_id uuid NOT NULL,
    entries bigint NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 varchar(64) NOT NULL,
    manifest_sha256 varchar(64) NOT NULL,
    location varchar(500) NOT NULL,
    archived_at timestamptz NOT NULL,
    signature bytea NOT NULL,
    key_id varchar(16) NOT NULL,
    CONSTRAINT audit_archives_bounds CHECK (first_id < end_id AND entries >= 0)
);
CREATE INDEX idx_audit_archives_month ON audit_archives (month, id DESC);
GRANT SELECT ON audit_archives TO app_maint;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_archives
    FOR EACH ROW EXECUTE FUNCTION audit_refuse('audit entries stay as they are');
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_archives
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('audit entries stay as they are');
ALTER TABLE audit_archives OWNER TO audit_owner;
"""

ADD = """
CREATE FUNCTION audit_archive(
    p_month date, p_first_id uuid, p_end_id uuid, p_entries bigint,
    p_size_bytes bigint, p_sha256 text, p_manifest_sha256 text, p_location text,
    p_archived_at timestamptz, p_signature bytea, p_key_id text
) RETURNS uuid LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO public.audit_archives (
        id, month, first_id, end_id, entries, size_bytes, sha256, manifest_sha256,
        location, archived_at, signature, key_id)
    VALUES (
        public.uuid7_at(clock_timestamp()), p_month, p_first_id, p_end_id, p_entries,
        p_size_bytes, p_sha256, p_manifest_sha256, p_location, p_archived_at,
        p_signature, p_key_id)
    RETURNING id
$$;
REVOKE ALL ON FUNCTION audit_archive FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_archive TO app_maint;
"""

CREATE = f"""
{ARCHIVES}
SET LOCAL ROLE audit_owner;
{ADD}
RESET ROLE;
"""
DROP = """
SET LOCAL ROLE audit_owner;
DROP FUNCTION audit_archive;
DROP TABLE audit_archives;
RESET ROLE;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0022_seals")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, DROP)],
            state_operations=[
                migrations.CreateModel(
                    name="Archive",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("month", models.DateField(editable=False)),
                        ("first_id", models.UUIDField(editable=False)),
                        ("end_id", models.UUIDField(editable=False)),
                        ("entries", models.BigIntegerField(editable=False)),
                        ("size_bytes", models.BigIntegerField(editable=False)),
                        ("sha256", models.CharField(editable=False, max_length=64)),
                        (
                            "manifest_sha256",
                            models.CharField(editable=False, max_length=64),
                        ),
                        ("location", models.CharField(editable=False, max_length=500)),
                        ("archived_at", models.DateTimeField(editable=False)),
                        ("signature", models.BinaryField()),
                        ("key_id", models.CharField(editable=False, max_length=16)),
                    ],
                    options={
                        "db_table": "audit_archives",
                        "ordering": ["-month", "-id"],
                        "default_permissions": ("view",),
                        "indexes": [
                            models.Index(
                                fields=["month", "-id"],
                                name="idx_audit_archives_month",
                            )
                        ],
                    },
                ),
            ],
        ),
    ]

"""Seal the trail: signed Merkle roots, one chain per organization, and their anchors."""

from django.db import migrations, models

import mlops.db.uuid7
from mlops.db.operations import TENANT

# First version of the encoding: a byte for the leaf, one for the version, then each
# column as UTF-8 behind its length in four bytes, which is -1 for null. That is how
# PostgreSQL sends an array of texts, without its 20 bytes of header. jsonb has one text
# for equal values: keys by length, then by bytes; numbers as they were written.
COLUMNS = (
    "id::text",
    "organization_id::text",
    "project_id::text",
    "to_char(entry.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    "transaction_id::text",
    "actor_kind::text",
    "actor_id::text",
    "actor_label::text",
    "token_public_id::text",
    "request_id::text",
    "address::text",
    "route::text",
    "action::text",
    "outcome::text",
    "object_type::text",
    "object_id::text",
    "object_label::text",
    "before::text",
    "after::text",
    "reason::text",
    "db_role::text",
    "application_name::text",
    "backend_pid::text",
)
TEXTS = ", ".join(
    column if column.startswith("to_char") else f"entry.{column}" for column in COLUMNS
)

# One expression, bound to its names here and now, so that PostgreSQL puts it into the
# query that calls it: a function body would cost as much again as the hash.
LEAF = f"""
CREATE FUNCTION audit_leaf(entry audit_logs) RETURNS bytea LANGUAGE sql STABLE
RETURN pg_catalog.sha256(
    '\\x0001'::bytea
    || pg_catalog.substring(pg_catalog.array_send(ARRAY[{TEXTS}]), 21));
REVOKE ALL ON FUNCTION audit_leaf FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_leaf TO app_rw, app_maint;
"""

SEALS = f"""
CREATE TABLE audit_seals (
    id uuid NOT NULL PRIMARY KEY,
    organization_id uuid,
    n bigint NOT NULL,
    version smallint NOT NULL,
    cluster bigint NOT NULL,
    epoch integer NOT NULL,
    epoch_from uuid NOT NULL,
    xid_from bigint NOT NULL,
    xid_to bigint NOT NULL,
    xid_next bigint NOT NULL,
    first_id uuid,
    last_id uuid,
    count bigint NOT NULL,
    unattributed bigint NOT NULL,
    root bytea NOT NULL,
    leaves bytea NOT NULL,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    sealed_at timestamptz NOT NULL,
    signature bytea NOT NULL,
    key_id varchar(16) NOT NULL,
    CONSTRAINT audit_seals_chain UNIQUE NULLS NOT DISTINCT (organization_id, n),
    CONSTRAINT audit_seals_leaves CHECK (octet_length(leaves) = 32 * count)
);
ALTER TABLE audit_seals ALTER COLUMN leaves SET STORAGE EXTERNAL;
CREATE INDEX idx_audit_seals_first ON audit_seals (organization_id, first_id);
CREATE INDEX idx_audit_seals_horizon ON audit_seals (epoch, xid_next);

ALTER TABLE audit_seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_seals FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_seals_open ON audit_seals FOR SELECT TO app_rw USING (true);
CREATE POLICY audit_seals_tenant ON audit_seals AS RESTRICTIVE FOR SELECT TO app_rw
    USING (organization_id = {TENANT});
-- FORCE binds the owner too: it may look for the last seal and add one.
CREATE POLICY audit_seals_add ON audit_seals FOR INSERT TO audit_owner
    WITH CHECK (true);
CREATE POLICY audit_seals_last ON audit_seals FOR SELECT TO audit_owner USING (true);
GRANT SELECT ON audit_seals TO app_rw, app_maint;

CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION audit_refuse('audit entries stay as they are');
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('audit entries stay as they are');
ALTER TABLE audit_seals OWNER TO audit_owner;
"""

# Whoever seals holds the key, so what it says is believed; but a seal that does not
# continue its chain would be there for good.
SEAL = """
CREATE FUNCTION audit_seal(
    p_organization_id uuid, p_n bigint, p_version smallint, p_cluster bigint,
    p_epoch integer, p_epoch_from uuid, p_xid_from bigint, p_xid_to bigint,
    p_xid_next bigint, p_first_id uuid, p_last_id uuid, p_count bigint,
    p_unattributed bigint, p_root bytea, p_leaves bytea, p_prev_hash bytea,
    p_hash bytea, p_sealed_at timestamptz, p_signature bytea, p_key_id text
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seal uuid := public.uuid7_at(clock_timestamp());
    last public.audit_seals%ROWTYPE;
BEGIN
    IF p_organization_id IS NULL THEN
        SELECT * INTO last FROM public.audit_seals
        WHERE organization_id IS NULL ORDER BY n DESC LIMIT 1;
    ELSE
        SELECT * INTO last FROM public.audit_seals
        WHERE organization_id = p_organization_id ORDER BY n DESC LIMIT 1;
    END IF;
    IF p_n <> coalesce(last.n, 0) + 1
       OR p_prev_hash <> coalesce(last.hash, decode(repeat('00', 32), 'hex'))
       OR p_epoch < coalesce(last.epoch, 1)
       OR p_xid_from <> (CASE WHEN last.epoch = p_epoch THEN last.xid_to ELSE 0 END)
       OR p_xid_to <= p_xid_from OR p_sealed_at > clock_timestamp() THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
            MESSAGE = format('seal %s does not continue the chain of %s after seal %s',
                             p_n, coalesce(p_organization_id::text, 'the instance'),
                             coalesce(last.n, 0));
    END IF;
    INSERT INTO public.audit_seals (
        id, organization_id, n, version, cluster, epoch, epoch_from, xid_from, xid_to,
        xid_next, first_id, last_id, count, unattributed, root, leaves, prev_hash, hash,
        sealed_at, signature, key_id)
    VALUES (
        seal, p_organization_id, p_n, p_version, p_cluster, p_epoch, p_epoch_from,
        p_xid_from, p_xid_to, p_xid_next, p_first_id, p_last_id, p_count,
        p_unattributed, p_root, p_leaves, p_prev_hash, p_hash, p_sealed_at, p_signature,
        p_key_id);
    RETURN seal;
END $$;
REVOKE ALL ON FUNCTION audit_seal FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_seal TO app_maint;
"""

# What was told to the outside, and when; the proof is out there, not here.
ANCHORS = """
CREATE TABLE audit_anchors (
    id uuid NOT NULL PRIMARY KEY,
    place varchar(500) NOT NULL,
    anchored_at timestamptz NOT NULL,
    epoch integer NOT NULL,
    xid_next bigint NOT NULL,
    chains bigint NOT NULL,
    line text NOT NULL
);
CREATE INDEX idx_audit_anchors_place ON audit_anchors (place, id DESC);
GRANT SELECT, INSERT ON audit_anchors TO app_maint;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_anchors
    FOR EACH ROW EXECUTE FUNCTION audit_refuse('audit entries stay as they are');
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_anchors
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('audit entries stay as they are');
ALTER TABLE audit_anchors OWNER TO audit_owner;
"""

CREATE = f"""
SET LOCAL ROLE audit_owner;
{LEAF}
RESET ROLE;
{SEALS}
SET LOCAL ROLE audit_owner;
{SEAL}
RESET ROLE;
{ANCHORS}
"""
DROP = """
SET LOCAL ROLE audit_owner;
DROP TABLE audit_anchors;
DROP FUNCTION audit_seal;
DROP TABLE audit_seals;
DROP FUNCTION audit_leaf;
RESET ROLE;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0021_capture_evaluation_datasets")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, DROP)],
            state_operations=[
                migrations.CreateModel(
                    name="Seal",
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
                        ("n", models.BigIntegerField(editable=False)),
                        ("version", models.SmallIntegerField(editable=False)),
                        ("cluster", models.BigIntegerField(editable=False)),
                        ("epoch", models.IntegerField(editable=False)),
                        ("epoch_from", models.UUIDField(editable=False)),
                        ("xid_from", models.BigIntegerField(editable=False)),
                        ("xid_to", models.BigIntegerField(editable=False)),
                        ("xid_next", models.BigIntegerField(editable=False)),
                        ("first_id", models.UUIDField(editable=False, null=True)),
                        ("last_id", models.UUIDField(editable=False, null=True)),
                        ("count", models.BigIntegerField(editable=False)),
                        ("unattributed", models.BigIntegerField(editable=False)),
                        ("root", models.BinaryField()),
                        ("leaves", models.BinaryField()),
                        ("prev_hash", models.BinaryField()),
                        ("hash", models.BinaryField()),
                        ("sealed_at", models.DateTimeField(editable=False)),
                        ("signature", models.BinaryField()),
                        ("key_id", models.CharField(editable=False, max_length=16)),
                    ],
                    options={
                        "db_table": "audit_seals",
                        "ordering": ["-id"],
                        "default_permissions": ("view",),
                        "indexes": [
                            models.Index(
                                fields=["organization_id", "first_id"],
                                name="idx_audit_seals_first",
                            ),
                            models.Index(
                                fields=["epoch", "xid_next"],
                                name="idx_audit_seals_horizon",
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("organization_id", "n"),
                                name="audit_seals_chain",
                                nulls_distinct=False,
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Anchor",
                    fields=[
                        (
                            "id",
                            models.UUIDField(
                                default=mlops.db.uuid7.uuid7,
                                editable=False,
                                primary_key=True,
                                serialize=False,
                            ),
                        ),
                        ("place", models.CharField(editable=False, max_length=500)),
                        ("anchored_at", models.DateTimeField(editable=False)),
                        ("epoch", models.IntegerField(editable=False)),
                        ("xid_next", models.BigIntegerField(editable=False)),
                        ("chains", models.BigIntegerField(editable=False)),
                        ("line", models.TextField(editable=False)),
                    ],
                    options={
                        "db_table": "audit_anchors",
                        "ordering": ["-id"],
                        "default_permissions": ("view",),
                        "indexes": [
                            models.Index(
                                fields=["place", "-id"],
                                name="idx_audit_anchors_place",
                            )
                        ],
                    },
                ),
            ],
        ),
    ]

from django.db import migrations

from mlops.db.operations import ProtectTenantTable

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
        MESSAGE = format('%s: a column that identifies the row never changes',
                         TG_TABLE_NAME);
END $$;
"""

# For rows that triggers make; the layout is that of mlops.db.uuid7.uuid7.
UUID7_AT = """
CREATE FUNCTION uuid7_at(moment timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid()) PLACING
                substring(int8send(floor(extract(epoch FROM moment) * 1000)::bigint)
                          FROM 3)
                FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.RunSQL(REFUSE_CHANGE, "DROP FUNCTION refuse_change()"),
        migrations.RunSQL(UUID7_AT, "DROP FUNCTION uuid7_at"),
        ProtectTenantTable("Organization", column="id", keyed=False, admitting=True),
        ProtectTenantTable("Membership", admitting=True),
        ProtectTenantTable("Project", admitting=True),
        ProtectTenantTable("ServiceAccount", admitting=True),
        ProtectTenantTable(
            "ProjectMember",
            parents={
                "project_id": "projects",
                "service_account_id": "service_accounts",
            },
            admitting=True,
        ),
        ProtectTenantTable("ProjectCounter", parents={"project_id": "projects"}),
        ProtectTenantTable(
            "ApiToken",
            parents={"service_account_id": "service_accounts"},
            admitting=True,
        ),
    ]

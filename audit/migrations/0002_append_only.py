"""Entries stay as they are, and each says which session wrote it."""

from django.db import migrations, models

# Whoever writes may have set the actor it likes; where it came from it cannot choose.
ADD_PID = """
SET LOCAL ROLE audit_owner;
ALTER TABLE audit_logs ADD COLUMN backend_pid integer NOT NULL DEFAULT 0;
ALTER TABLE audit_logs ALTER COLUMN backend_pid DROP DEFAULT;
RESET ROLE;
"""
DROP_PID = """
SET LOCAL ROLE audit_owner;
ALTER TABLE audit_logs DROP COLUMN backend_pid;
RESET ROLE;
"""

# The reason is an argument of the trigger: captured tables refuse TRUNCATE by it, too.
REFUSE = """
SET LOCAL ROLE audit_owner;
CREATE FUNCTION audit_refuse() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
        MESSAGE = format('%s of %s is refused: %s', TG_OP, TG_TABLE_NAME, TG_ARGV[0]);
END $$;
REVOKE ALL ON FUNCTION audit_refuse() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_refuse() TO app_owner;

CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION audit_refuse('audit entries stay as they are');
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('audit entries stay as they are');

-- Months inherit triggers of rows, not of statements; new ones get theirs when made.
DO $$
DECLARE
    month regclass;
BEGIN
    FOR month IN SELECT inhrelid FROM pg_inherits
                 WHERE inhparent = 'audit_logs'::regclass LOOP
        EXECUTE format('CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON %s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION'
                       ' audit_refuse(''audit entries stay as they are'')', month);
    END LOOP;
END $$;
RESET ROLE;
"""
ALLOW = """
SET LOCAL ROLE audit_owner;
DROP FUNCTION audit_refuse() CASCADE;
RESET ROLE;
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial"), ("tenants", "0004_admit")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ADD_PID, DROP_PID)],
            state_operations=[
                migrations.AddField(
                    model_name="auditlog",
                    name="backend_pid",
                    field=models.IntegerField(editable=False, default=0),
                    preserve_default=False,
                ),
            ],
        ),
        migrations.RunSQL(REFUSE, ALLOW),
    ]

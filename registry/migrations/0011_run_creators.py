"""Who made a run: an editor deletes and restores no others."""

from django.db import migrations, models

# The hot path inserts without naming its actor: the transaction knows (app.actor is
# kind:id or kind:id:token; commands and jobs have a name in the place of the id).
ACTING = """
CREATE FUNCTION registry_acting_id() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(split_part(actor, ':', 2)) = 36
                 AND split_part(actor, ':', 2) ~ '^[0-9a-f-]{36}$'
                THEN split_part(actor, ':', 2)::uuid END
    FROM current_setting('app.actor', true) AS actor
$$;
REVOKE ALL ON FUNCTION registry_acting_id FROM PUBLIC;
GRANT EXECUTE ON FUNCTION registry_acting_id TO app_rw, app_maint;
"""
DEFAULT = """
ALTER TABLE experiment_runs ALTER COLUMN created_by SET DEFAULT registry_acting_id();
"""
NO_DEFAULT = "ALTER TABLE experiment_runs ALTER COLUMN created_by DROP DEFAULT;"


class Migration(migrations.Migration):
    dependencies = [("registry", "0010_list_artifacts")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="created_by",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.RunSQL(ACTING, "DROP FUNCTION registry_acting_id"),
        migrations.RunSQL(DEFAULT, NO_DEFAULT),
    ]

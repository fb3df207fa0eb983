"""Every project has experiment 0, "Default": MLflow's client logs to it unasked."""

from django.db import migrations

# A trigger, because projects belong to an app below this one.
CREATE = """
CREATE FUNCTION projects_default_experiment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO experiments (id, organization_id, project_id, iid, name,
                             artifact_location, created_at, updated_at)
    VALUES (uuid7_at(NEW.created_at), NEW.organization_id, NEW.id, 0, 'Default',
            'mlflow-artifacts:/0', NEW.created_at, NEW.created_at);
    INSERT INTO project_counters (id, organization_id, project_id, kind, next_value,
                                  created_at, updated_at)
    SELECT uuid7_at(NEW.created_at), NEW.organization_id, NEW.id, kind, 1,
           NEW.created_at, NEW.created_at
    FROM unnest(ARRAY['experiment', 'run']) AS kind;
    RETURN NULL;
END $$;
CREATE TRIGGER projects_default_experiment AFTER INSERT ON projects
    FOR EACH ROW EXECUTE FUNCTION projects_default_experiment();
"""
DROP = """
DROP TRIGGER projects_default_experiment ON projects;
DROP FUNCTION projects_default_experiment();
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0002_protect")]

    operations = [migrations.RunSQL(CREATE, DROP)]

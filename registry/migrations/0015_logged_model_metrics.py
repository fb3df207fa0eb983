"""Metrics that name a logged model: stored with the run's, in the same statement.

Hot functions: see 0005_tracking_functions. A request that names no model calls none of
these.
"""

from django.db import migrations

# Runs before anything is written. What is returned says which of the asked is unknown:
# nothing that the caller sent is repeated by the database.
UNKNOWN_MODEL = """
CREATE FUNCTION registry_unknown_model(
    p_organization uuid, p_project uuid, p_models uuid[]
) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT 'no_model ' || min(asked.place)
            FROM unnest(p_models) WITH ORDINALITY AS asked (id, place)
            WHERE NOT EXISTS (SELECT FROM logged_models model
                              WHERE model.id = asked.id
                                AND model.organization_id = p_organization
                                AND model.project_id = p_project
                                AND model.deleted_at IS NULL));
END $$;
"""

# `p_answer` is what storing the same points for the run has answered.
LOG_MODEL_METRICS = """
CREATE FUNCTION registry_log_model_metrics(
    p_answer text, p_organization uuid, p_run uuid,
    p_ids uuid[], p_models uuid[], p_names text[], p_values float8[],
    p_timestamps bigint[], p_steps bigint[], p_datasets text[], p_digests text[]
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF p_answer NOT LIKE '{%' THEN
        RETURN p_answer;
    END IF;
    INSERT INTO logged_model_metrics
           (id, organization_id, logged_model_id, experiment_run_id, metric_name,
            value, timestamp_ms, step, dataset_name, dataset_digest)
    SELECT id, p_organization, model, p_run, name, value, timestamp_ms, step, dataset,
           digest
    FROM unnest(p_ids, p_models, p_names, p_values, p_timestamps, p_steps, p_datasets,
                p_digests)
         AS point (id, model, name, value, timestamp_ms, step, dataset, digest)
    ON CONFLICT (id) DO NOTHING;
    RETURN p_answer;
END $$;
"""

FUNCTIONS = {
    "registry_unknown_model": UNKNOWN_MODEL,
    "registry_log_model_metrics": LOG_MODEL_METRICS,
}
GRANT = """
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {name} TO app_rw, app_maint;
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0014_logged_models")]

    operations = [
        migrations.RunSQL(create + GRANT.format(name=name), f"DROP FUNCTION {name}")
        for name, create in FUNCTIONS.items()
    ]

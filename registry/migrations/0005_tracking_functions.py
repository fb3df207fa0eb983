"""The hot path in the database: each function does all that one request asks for.

They run as their caller, so row-level security binds them, and they are called in the
statement that admits the caller, with the organization and project it found:

    SELECT CASE WHEN caller.verdict = 'ok' THEN registry_…(…) ELSE caller.verdict END
    FROM tenants_admit(…) AS caller

What they return is the answer as JSON text, or a word that says why there is none.
"""

from django.db import migrations

# What JSON has no number for leaves as MLflow writes it.
JSON_NUMBER = """
CREATE FUNCTION json_number(p_value float8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE p_value WHEN 'NaN' THEN '"NaN"'
                        WHEN 'Infinity' THEN '1.7976931348623157e308'
                        WHEN '-Infinity' THEN '-1.7976931348623157e308'
                        ELSE p_value::text END
$$;
"""

# Concatenated, because json_build_object takes twice as long. What is absent is left
# out: text with NULL is NULL, and both concat and concat_ws pass over NULL.
INFO = """
    concat('{"run_uuid":"', replace(run.id::text, '-', ''),
           '","experiment_id":"', experiment.iid,
           '","run_name":', to_json(run.name::text),
           ',"user_id":', to_json(run.user_name::text),
           ',"status":"', run.status,
           '","start_time":', run.start_time_ms,
           ',"end_time":' || run.end_time_ms,
           ',"artifact_uri":', to_json(concat(
               rtrim(experiment.artifact_location, '/'), '/',
               replace(run.id::text, '-', ''), '/artifacts')),
           ',"lifecycle_stage":"',
           CASE WHEN run.deleted_at IS NULL THEN 'active' ELSE 'deleted' END,
           '","run_id":"', replace(run.id::text, '-', ''), '"}')
"""
# LIMIT keeps the planner from joining: on tables that nobody has analyzed yet it would
# read every experiment of the organization to find one.
RUN_AND_EXPERIMENT = """
    experiment_runs run
    CROSS JOIN LATERAL (SELECT parent.iid, parent.artifact_location
                        FROM experiments parent
                        WHERE parent.organization_id = run.organization_id
                          AND parent.id = run.experiment_id LIMIT 1) AS experiment
"""

# A run is found by its id alone, and then it must be the caller's own. As an equality
# the project would be part of another index, which the planner takes for just as good
# on a table that nobody has analyzed yet: it would read all runs of the project.
OWN = """
    run.organization_id IS NOT DISTINCT FROM p_organization
    AND run.project_id IS NOT DISTINCT FROM p_project
"""
FIND_RUN = f"""
    SELECT run.experiment_id, run.deleted_at INTO found_run FROM experiment_runs run
    WHERE run.id = p_run AND {OWN} FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN 'no_run';
    ELSIF found_run.deleted_at IS NOT NULL THEN
        RETURN 'run_deleted';
    END IF;
"""

# Triggers throw away what is kept of a run whenever it is written to; see
# 0020_run_documents. They cost as much as a point: here a delete does the same, under
# the lock that FIND_RUN took.
SPARE_TRIGGERS = "PERFORM set_config('app.outdates_itself', 'yes', true);"
HEED_TRIGGERS = "PERFORM set_config('app.outdates_itself', '', true);"
OUTDATE = f"""
    DELETE FROM run_documents WHERE id = p_run;
    {HEED_TRIGGERS}
"""

# The newest point per name has the highest (step, timestamp, value), NaN counting as 0.
NEWER = """
    (excluded.step, excluded.timestamp_ms,
     CASE WHEN excluded.value = 'NaN' THEN 0 ELSE excluded.value END)
  > (latest.step, latest.timestamp_ms,
     CASE WHEN latest.value = 'NaN' THEN 0 ELSE latest.value END)
"""
LATEST = f"""
    ON CONFLICT (organization_id, experiment_run_id, metric_name) DO UPDATE
        SET value = excluded.value, timestamp_ms = excluded.timestamp_ms,
            step = excluded.step
        WHERE {NEWER}
"""

LOG_METRIC = f"""
CREATE FUNCTION registry_log_metric(
    p_organization uuid, p_project uuid, p_run uuid,
    p_id uuid, p_name text, p_value float8, p_timestamp bigint, p_step bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found_run record;
BEGIN
    {FIND_RUN}
    {SPARE_TRIGGERS}
    INSERT INTO run_metrics (id, organization_id, experiment_run_id, metric_name,
                             value, timestamp_ms, step)
    VALUES (p_id, p_organization, p_run, p_name, p_value, p_timestamp, p_step)
    ON CONFLICT (id) DO NOTHING;
    INSERT INTO latest_metrics AS latest
           (id, organization_id, experiment_id, experiment_run_id, metric_name,
            value, timestamp_ms, step)
    VALUES (p_id, p_organization, found_run.experiment_id, p_run, p_name,
            p_value, p_timestamp, p_step)
    {LATEST};
    {OUTDATE}
    RETURN '{{}}';
END $$;
"""

MET = """
    FROM unnest(p_param_keys, p_param_values) AS new (key, value)
    JOIN run_params old ON old.organization_id = p_organization
                       AND old.experiment_run_id = p_run AND old.key = new.key
"""
CHANGED = f"{MET} WHERE old.value <> new.value"

# A key that is there already needs no room, so most requests count nothing; for a new
# one the run's own range of the unique key is walked, up to the limit and no further.
# Two requests at once may both find the last room: each brings a hundred at most.
REFUSE_FULL = """
        IF new_keys > 0 THEN
            IF new_keys > {most} OR EXISTS (
                SELECT FROM {table} held
                WHERE held.organization_id = p_organization
                  AND held.experiment_run_id = p_run
                ORDER BY held.key OFFSET greatest({most} - new_keys, 0)
            ) THEN
                RETURN (SELECT concat_ws(' ', '{table}_full', count(*), new_keys)
                        FROM {table} held
                        WHERE held.organization_id = p_organization
                          AND held.experiment_run_id = p_run);
            END IF;
        END IF;
"""
REFUSE_PARAMS = REFUSE_FULL.format(table="run_params", most="p_most_params")
REFUSE_TAGS = REFUSE_FULL.format(table="run_tags", most="p_most_tags")
# Columns arrive ordered by name or key, and `unnest` keeps the order: two batches of
# one run lock the same rows in the same order and cannot wait for each other.
# Params are compared before anything is written, so a changed one needs no rollback;
# one that came in meanwhile loses the race, and the second try compares again.
# Generic plans, because for an array of one key PostgreSQL plans each call anew: that
# took longer than the rest of the call.
LOG_BATCH = f"""
CREATE FUNCTION registry_log_batch(
    p_organization uuid, p_project uuid, p_run uuid,
    p_ids uuid[], p_names text[], p_values float8[], p_timestamps bigint[],
    p_steps bigint[], p_newest boolean[],
    p_param_ids uuid[], p_param_keys text[], p_param_values text[],
    p_tag_ids uuid[], p_tag_keys text[], p_tag_values text[], p_run_name text,
    p_most_params integer, p_most_tags integer
) RETURNS text LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    found_run record;
    stored bigint;
    new_keys bigint;
    changed text;
BEGIN
    {FIND_RUN}

    IF cardinality(p_tag_ids) > 0 THEN
        SELECT cardinality(p_tag_ids) - count(*) INTO new_keys FROM run_tags old
        WHERE old.organization_id = p_organization AND old.experiment_run_id = p_run
          AND old.key = ANY (p_tag_keys);
        {REFUSE_TAGS}
    END IF;

    IF cardinality(p_param_ids) > 0 THEN
        SELECT cardinality(p_param_ids) - count(*),
               json_agg(json_build_object('key', old.key, 'old_value', old.value,
                                          'new_value', new.value))
               FILTER (WHERE old.value <> new.value)::text
        INTO new_keys, changed {MET};
        IF changed IS NOT NULL THEN
            RETURN 'params_changed ' || changed;
        END IF;
        {REFUSE_PARAMS}
        {SPARE_TRIGGERS}
        INSERT INTO run_params (id, organization_id, created_at, experiment_id,
                                experiment_run_id, key, value)
        SELECT id, p_organization, now(), found_run.experiment_id, p_run, key, value
        FROM unnest(p_param_ids, p_param_keys, p_param_values) AS param (id, key, value)
        ON CONFLICT (organization_id, experiment_run_id, key) DO NOTHING;
        GET DIAGNOSTICS stored = ROW_COUNT;
        IF stored < cardinality(p_param_ids) AND EXISTS (SELECT {CHANGED}) THEN
            RAISE serialization_failure USING MESSAGE = 'a param was logged meanwhile';
        END IF;
    END IF;

    {SPARE_TRIGGERS}
    IF cardinality(p_ids) > 0 THEN
        INSERT INTO run_metrics (id, organization_id, experiment_run_id, metric_name,
                                 value, timestamp_ms, step)
        SELECT id, p_organization, p_run, name, value, timestamp_ms, step
        FROM unnest(p_ids, p_names, p_values, p_timestamps, p_steps)
             AS point (id, name, value, timestamp_ms, step)
        ON CONFLICT (id) DO NOTHING;
        INSERT INTO latest_metrics AS latest
               (id, organization_id, experiment_id, experiment_run_id, metric_name,
                value, timestamp_ms, step)
        SELECT id, p_organization, found_run.experiment_id, p_run, name,
               value, timestamp_ms, step
        FROM unnest(p_ids, p_names, p_values, p_timestamps, p_steps, p_newest)
             AS point (id, name, value, timestamp_ms, step, is_newest)
        WHERE is_newest
        {LATEST};
    END IF;

    IF cardinality(p_tag_ids) > 0 THEN
        INSERT INTO run_tags AS tag (id, organization_id, experiment_id,
                                     experiment_run_id, key, value)
        SELECT id, p_organization, found_run.experiment_id, p_run, key, value
        FROM unnest(p_tag_ids, p_tag_keys, p_tag_values) AS new (id, key, value)
        ON CONFLICT (organization_id, experiment_run_id, key) DO UPDATE
            SET value = excluded.value WHERE tag.value <> excluded.value;
    END IF;
    IF p_run_name IS NOT NULL THEN
        UPDATE experiment_runs SET name = p_run_name, updated_at = now()
        WHERE id = p_run AND name <> p_run_name;
    END IF;
    {OUTDATE}
    RETURN '{{}}';
END $$;
"""

# A lost answer makes the client send the same create again. `p_replayed` is derived
# from the request, so the second one meets the first: while nothing has been logged to
# that run it is the answer; later it is somebody's run, and the new one is `p_spare`.
# The counter's row is taken last: until the commit every create of the project waits.
CREATE_RUN = f"""
CREATE FUNCTION registry_create_run(
    p_organization uuid, p_project uuid, p_replayed uuid, p_spare uuid,
    p_experiment bigint, p_name text, p_user_name text, p_start_time bigint,
    p_tag_ids uuid[], p_tag_keys text[], p_tag_values text[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    experiment record;
    first record;
    run_id uuid := coalesce(p_replayed, p_spare);
BEGIN
    SELECT id, deleted_at INTO experiment FROM experiments
    WHERE organization_id = p_organization AND project_id = p_project
      AND iid = p_experiment;
    IF NOT FOUND THEN
        RETURN 'no_experiment';
    ELSIF experiment.deleted_at IS NOT NULL THEN
        RETURN 'experiment_deleted';
    END IF;

    IF p_replayed IS NOT NULL THEN
        SELECT run.status, run.deleted_at, run.created_at INTO first
        FROM experiment_runs run
        WHERE run.id = p_replayed AND {OWN};
        IF FOUND THEN
            IF first.created_at > now() - interval '120 seconds'
               AND first.status = 'RUNNING' AND first.deleted_at IS NULL
               AND NOT EXISTS (SELECT FROM latest_metrics latest
                               WHERE latest.organization_id = p_organization
                                 AND latest.experiment_run_id = p_replayed)
               AND NOT EXISTS (SELECT FROM run_params param
                               WHERE param.organization_id = p_organization
                                 AND param.experiment_run_id = p_replayed)
               AND NOT EXISTS (SELECT FROM run_inputs input
                               WHERE input.organization_id = p_organization
                                 AND input.experiment_run_id = p_replayed)
               AND NOT EXISTS (SELECT FROM run_models used
                               WHERE used.organization_id = p_organization
                                 AND used.experiment_run_id = p_replayed)
            THEN
                RETURN registry_run_document(p_organization, p_project, p_replayed);
            END IF;
            run_id := p_spare;
        END IF;
    END IF;

    WITH number AS (
        UPDATE project_counters
        SET next_value = next_value + 1, updated_at = now()
        WHERE organization_id = p_organization AND project_id = p_project
          AND kind = 'run'
        RETURNING next_value - 1 AS iid
    )
    INSERT INTO experiment_runs (id, organization_id, created_at, updated_at,
                                 project_id, experiment_id, iid, name, status,
                                 user_name, start_time_ms, metadata)
    SELECT run_id, p_organization, now(), now(), p_project, experiment.id, number.iid,
           p_name, 'RUNNING', p_user_name, p_start_time, '{{}}'
    FROM number
    ON CONFLICT (id) DO NOTHING;
    -- Nothing stored: its twin came in while this one waited for the number.
    IF FOUND THEN
        {SPARE_TRIGGERS}
        INSERT INTO run_tags (id, organization_id, experiment_id, experiment_run_id,
                              key, value)
        SELECT id, p_organization, experiment.id, run_id, key, value
        FROM unnest(p_tag_ids, p_tag_keys, p_tag_values) AS tag (id, key, value);
        {HEED_TRIGGERS}
    END IF;
    RETURN registry_run_document(p_organization, p_project, run_id);
END $$;
"""

UPDATE_RUN = f"""
CREATE FUNCTION registry_update_run(
    p_organization uuid, p_project uuid, p_run uuid,
    p_status text, p_end_time bigint, p_name text, p_tag uuid, p_tag_key text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found_run record;
    info text;
BEGIN
    {FIND_RUN}
    {SPARE_TRIGGERS}
    UPDATE experiment_runs
    SET status = coalesce(p_status, status),
        end_time_ms = coalesce(p_end_time, end_time_ms),
        name = coalesce(p_name, name), updated_at = now()
    WHERE id = p_run AND (status, end_time_ms, name) IS DISTINCT FROM
          (coalesce(p_status, status), coalesce(p_end_time, end_time_ms),
           coalesce(p_name, name));
    IF p_name IS NOT NULL THEN
        INSERT INTO run_tags AS tag (id, organization_id, experiment_id,
                                     experiment_run_id, key, value)
        VALUES (p_tag, p_organization, found_run.experiment_id, p_run, p_tag_key,
                p_name)
        ON CONFLICT (organization_id, experiment_run_id, key) DO UPDATE
            SET value = excluded.value WHERE tag.value <> excluded.value;
    END IF;
    {OUTDATE}
    SELECT {INFO} INTO info
    FROM {RUN_AND_EXPERIMENT}
    WHERE run.id = p_run;
    RETURN '{{"run_info":' || info || '}}';
END $$;
"""

# Every point of a known key rewrites its latest row, and a run its own at its end. With
# room in the page no index hears of it: 97 % of the rewrites of latest values found
# room, 34 % without, at half of the time.
ROOM = """
ALTER TABLE latest_metrics SET (fillfactor = 70);
ALTER TABLE experiment_runs SET (fillfactor = 85);
"""
NO_ROOM = """
ALTER TABLE latest_metrics RESET (fillfactor);
ALTER TABLE experiment_runs RESET (fillfactor);
"""

FUNCTIONS = {
    "json_number": JSON_NUMBER,
    "registry_log_metric": LOG_METRIC,
    "registry_log_batch": LOG_BATCH,
    "registry_create_run": CREATE_RUN,
    "registry_update_run": UPDATE_RUN,
}
GRANT = """
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {name} TO app_rw, app_maint;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0004_number_versions"),
        ("tenants", "0004_admit"),
    ]

    operations = [
        migrations.RunSQL(ROOM, NO_ROOM),
        *(
            migrations.RunSQL(create + GRANT.format(name=name), f"DROP FUNCTION {name}")
            for name, create in FUNCTIONS.items()
        ),
    ]

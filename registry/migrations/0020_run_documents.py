"""A run's document: all that MLflow shows of it, as JSON text.

That of a run at rest is kept: reading it costs a hundredth of building it. Whoever
writes to the run, or to what the document shows of it, throws it away in the same
transaction; the next reader builds it anew, never a writer. The functions are hot, see
0005_tracking_functions.
"""

from django.db import migrations, models

from mlops.db.operations import ProtectTenantTable

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
# Logged models that a run used or brought forth, in the order in which it said so.
RUN_MODELS = """
    (SELECT '"model_{role}s":[' || string_agg(concat(
                '{{"model_id":"m-', replace(used.logged_model_id::text, '-', ''), '"',
                {more} '}}'), ',' ORDER BY used.id) || ']'
     FROM run_models used
     WHERE used.organization_id = run.organization_id
       AND used.experiment_run_id = run.id AND used.role = '{role}')
"""
MODEL_INPUTS = RUN_MODELS.format(role="input", more="")
MODEL_OUTPUTS = RUN_MODELS.format(role="output", more="',\"step\":', used.step,")
DATASETS = """
    (SELECT '"dataset_inputs":[' || string_agg(concat(
                '{', '"tags":' || nullif(input.tags, '[]')::text || ',',
                '"dataset":',
                (SELECT concat(
                     '{"name":', to_json(dataset.name::text),
                     ',"digest":', to_json(dataset.digest::text),
                     ',"source_type":', to_json(dataset.source_type::text),
                     ',"source":', to_json(dataset.source),
                     ',"schema":' || to_json(nullif(dataset.schema, '')),
                     ',"profile":' || to_json(nullif(dataset.profile, '')), '}')
                 FROM datasets dataset
                 WHERE dataset.organization_id = input.organization_id
                   AND dataset.id = input.dataset_id),
                '}'), ',' ORDER BY input.id) || ']'
     FROM run_inputs input
     WHERE input.organization_id = run.organization_id
       AND input.experiment_run_id = run.id)
"""

# Each part is read by the unique key that begins with organization and run. Most runs
# have neither data sets nor models, and who builds many asks for that once.
DOCUMENT = f"""
    concat('{{"info":', {INFO}, ',"data":{{', concat_ws(',',
        (SELECT '"metrics":[' || string_agg(concat(
                    '{{"key":', to_json(latest.metric_name::text),
                    ',"value":', json_number(latest.value),
                    ',"timestamp":', latest.timestamp_ms,
                    ',"step":', latest.step, '}}'), ',') || ']'
         FROM latest_metrics latest
         WHERE latest.organization_id = run.organization_id
           AND latest.experiment_run_id = run.id),
        (SELECT '"params":[' || string_agg(concat(
                    '{{"key":', to_json(param.key::text),
                    ',"value":', to_json(param.value::text), '}}'), ',') || ']'
         FROM run_params param
         WHERE param.organization_id = run.organization_id
           AND param.experiment_run_id = run.id),
        (SELECT '"tags":[' || string_agg(concat(
                    '{{"key":', to_json(tag.key::text),
                    ',"value":', to_json(tag.value::text), '}}'), ',') || ']'
         FROM run_tags tag
         WHERE tag.organization_id = run.organization_id
           AND tag.experiment_run_id = run.id)),
    '}},"inputs":{{', concat_ws(',',
        CASE WHEN has_datasets THEN {DATASETS} END,
        CASE WHEN has_models THEN {MODEL_INPUTS} END),
    '}},"outputs":{{', CASE WHEN has_models THEN {MODEL_OUTPUTS} END, '}}}}')
"""
ASK_WHAT_RUNS_HAVE = """
    has_datasets := EXISTS (SELECT FROM run_inputs input
                            WHERE input.organization_id = p_organization
                              AND input.experiment_run_id = ANY ({runs}));
    has_models := EXISTS (SELECT FROM run_models used
                          WHERE used.organization_id = p_organization
                            AND used.experiment_run_id = ANY ({runs}));
"""

# Writers: a change and the end of the document are one. Each holds its run in share
# mode until it commits, as the guards of facts do already. The functions of the hot
# path say that they do the same themselves.
OUTDATE = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    runs uuid[];
BEGIN
    SELECT array_agg(DISTINCT {column}) INTO runs FROM changed;
    IF runs IS NOT NULL THEN
        PERFORM FROM experiment_runs WHERE id = ANY (runs) FOR KEY SHARE;
        DELETE FROM run_documents WHERE id = ANY (runs);
    END IF;
    RETURN NULL;
END $$;
"""
OUTDATE_BY_CHILD = OUTDATE.format(
    function="registry_outdate_by_child", column="experiment_run_id"
)
OUTDATE_BY_RUN = OUTDATE.format(function="registry_outdate_by_run", column="id")
# What many runs share changes hardly ever, so its runs are looked for.
OUTDATE_BY_SHARED = """
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    runs uuid[];
BEGIN
    SELECT array_agg(DISTINCT {column}) INTO runs FROM {table}
    WHERE organization_id = NEW.organization_id AND {parent} = NEW.id;
    PERFORM FROM experiment_runs WHERE id = ANY (runs) FOR KEY SHARE;
    DELETE FROM run_documents WHERE id = ANY (runs);
    RETURN NULL;
END $$;
"""
OUTDATE_BY_EXPERIMENT = OUTDATE_BY_SHARED.format(
    function="registry_outdate_by_experiment",
    column="id",
    table="experiment_runs",
    parent="experiment_id",
)
OUTDATE_BY_DATASET = OUTDATE_BY_SHARED.format(
    function="registry_outdate_by_dataset",
    column="experiment_run_id",
    table="run_inputs",
    parent="dataset_id",
)
TRIGGER = """
CREATE TRIGGER {table}_outdates_{event} AFTER {event} ON {table}
    REFERENCING {side} TABLE AS changed FOR EACH STATEMENT
    WHEN (coalesce(current_setting('app.outdates_itself', true), '') = '')
    EXECUTE FUNCTION {function}();
"""
SIDES = {"insert": "NEW", "update": "NEW", "delete": "OLD"}
CHILDREN = ("run_params", "run_tags", "latest_metrics", "run_inputs", "run_models")
TRIGGERS = [
    *(
        TRIGGER.format(
            table=table, event=event, side=side, function="registry_outdate_by_child"
        )
        for table in CHILDREN
        for event, side in SIDES.items()
    ),
    *(
        TRIGGER.format(
            table="experiment_runs",
            event=event,
            side=SIDES[event],
            function="registry_outdate_by_run",
        )
        for event in ("update", "delete")
    ),
    """
    CREATE TRIGGER experiments_outdates_update AFTER UPDATE ON experiments
        FOR EACH ROW WHEN (
            (OLD.iid, OLD.artifact_location)
            IS DISTINCT FROM (NEW.iid, NEW.artifact_location)
        ) EXECUTE FUNCTION registry_outdate_by_experiment();
    """,
    """
    CREATE TRIGGER datasets_outdates_update AFTER UPDATE ON datasets
        FOR EACH ROW WHEN (
            (OLD.name, OLD.digest, OLD.source_type, OLD.source, OLD.schema, OLD.profile)
            IS DISTINCT FROM
            (NEW.name, NEW.digest, NEW.source_type, NEW.source, NEW.schema, NEW.profile)
        ) EXECUTE FUNCTION registry_outdate_by_dataset();
    """,
]

# Who builds locks the run against all writers, without waiting: a run that is being
# written to is left alone. The statement behind the lock sees all that was committed
# before; who comes later waits for the lock, and then finds the document to throw away.
# A run that is still running would lose its document with the next point.
BUILD_DOCUMENTS = f"""
CREATE FUNCTION registry_build_documents(p_organization uuid, p_runs uuid[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    quiet uuid[];
    has_datasets boolean;
    has_models boolean;
BEGIN
    -- On a replica they are read as they come.
    IF current_setting('transaction_read_only') = 'on' THEN
        RETURN;
    END IF;
    SELECT array_agg(locked.id) INTO quiet
    FROM (SELECT run.id FROM experiment_runs run
          WHERE run.id = ANY (p_runs) AND run.status NOT IN ('RUNNING', 'SCHEDULED')
          FOR UPDATE SKIP LOCKED) AS locked;
    IF quiet IS NULL THEN
        RETURN;
    END IF;
    {ASK_WHAT_RUNS_HAVE.format(runs="quiet")}
    INSERT INTO run_documents (id, organization_id, document)
    SELECT run.id, run.organization_id, {DOCUMENT}
    FROM {RUN_AND_EXPERIMENT}
    WHERE run.id = ANY (quiet)
    ON CONFLICT (id) DO NOTHING;
END $$;
"""

# Documents in the order of the ids, with commas between them. A long page is built a
# part at a time: who asks first does not pay for all.
MOST_BUILT = 200
RUN_DOCUMENTS = f"""
CREATE FUNCTION registry_run_documents(p_organization uuid, p_runs uuid[])
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    missing uuid[];
    documents text;
    has_datasets boolean;
    has_models boolean;
BEGIN
    SELECT string_agg(page.document, ',' ORDER BY page.place),
           array_agg(page.id ORDER BY page.place) FILTER (WHERE page.document IS NULL)
    INTO documents, missing
    FROM (SELECT asked.id, asked.place,
                 (SELECT stored.document FROM run_documents stored
                  WHERE stored.id = asked.id
                    AND stored.organization_id = p_organization) AS document
          FROM unnest(p_runs) WITH ORDINALITY AS asked (id, place)
          OFFSET 0) AS page;
    IF missing IS NULL THEN
        RETURN documents;
    END IF;
    PERFORM registry_build_documents(p_organization, missing[:{MOST_BUILT}]);
    {ASK_WHAT_RUNS_HAVE.format(runs="p_runs")}
    RETURN (
        SELECT string_agg(coalesce(
                   (SELECT stored.document FROM run_documents stored
                    WHERE stored.id = asked.id
                      AND stored.organization_id = p_organization),
                   (SELECT {DOCUMENT} FROM {RUN_AND_EXPERIMENT}
                    WHERE run.id = asked.id)), ',' ORDER BY asked.place)
        FROM unnest(p_runs) WITH ORDINALITY AS asked (id, place));
END $$;
"""

RUN_DOCUMENT = f"""
CREATE OR REPLACE FUNCTION registry_run_document(
    p_organization uuid, p_project uuid, p_run uuid
) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM experiment_runs run
    WHERE run.id = p_run AND {OWN};
    IF NOT FOUND THEN
        RETURN 'no_run';
    END IF;
    RETURN '{{"run":' || registry_run_documents(p_organization, ARRAY[p_run]) || '}}';
END $$;
"""

# A page of an experiment is two ranges of one index: what starts at the same time as
# the last run and has a higher id, then what starts earlier. Both are cut at a page,
# so the price is a page per experiment, however deep the page and long the experiment.
RANGES = """
    SELECT found.id, found.start_time_ms
    FROM (
        (SELECT id, start_time_ms FROM experiment_runs
         WHERE {wanted} AND experiment_id = experiment.id AND {life}
           AND organization_id = p_organization
           AND start_time_ms = p_after_start AND id > p_after_run
         ORDER BY id LIMIT p_limit + 1)
        UNION ALL
        (SELECT id, start_time_ms FROM experiment_runs
         WHERE {wanted} AND experiment_id = experiment.id AND {life}
           AND organization_id = p_organization
           AND start_time_ms < p_after_start
         ORDER BY start_time_ms DESC, id LIMIT p_limit + 1)
    ) AS found
"""
ALIVE = RANGES.format(wanted="p_view <> 'deleted'", life="deleted_at IS NULL")
DELETED = RANGES.format(wanted="p_view <> 'active'", life="deleted_at IS NOT NULL")

# The first line holds the project and where the page ended, for the token of the next.
SEARCH_RUNS = f"""
CREATE OR REPLACE FUNCTION registry_search_runs(
    p_organization uuid, p_project uuid, p_experiments bigint[], p_view text,
    p_limit integer, p_token_project uuid, p_after_start bigint, p_after_run uuid
) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    ids uuid[];
    last record;
    head text := '';
BEGIN
    IF p_token_project <> p_project THEN
        RETURN 'foreign_token';
    END IF;
    SELECT array_agg(page.id) INTO ids
    FROM (SELECT found.id
          FROM experiments experiment
          CROSS JOIN LATERAL ({ALIVE} UNION ALL {DELETED}) AS found
          WHERE experiment.organization_id = p_organization
            AND experiment.project_id = p_project
            AND experiment.iid = ANY (p_experiments)
          ORDER BY found.start_time_ms DESC, found.id
          LIMIT p_limit + 1) AS page;
    IF ids IS NULL THEN
        RETURN E'\\n{{}}';
    END IF;
    IF cardinality(ids) > p_limit THEN
        SELECT run.id, run.start_time_ms INTO last FROM experiment_runs run
        WHERE run.id = ids[p_limit];
        head := concat_ws(' ', p_project, last.start_time_ms, last.id);
        ids := ids[:p_limit];
    END IF;
    RETURN concat(head, E'\\n{{"runs":[',
                  registry_run_documents(p_organization, ids), ']}}');
END $$;
"""

# What a filtered or ordered search is about: its experiments, by their keys.
SEARCHED = """
CREATE FUNCTION registry_searched_experiments(
    p_organization uuid, p_project uuid, p_experiments bigint[]
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    -- For the transaction: what a page joins must come in turn, a page is no work for
    -- several processors, and the runs that have a key must find room in memory, or
    -- those without it are told apart one by one.
    PERFORM set_config('max_parallel_workers_per_gather', '0', true),
            set_config('work_mem', '64MB', true);
    RETURN (
        SELECT json_build_object(
            'organization', p_organization, 'project', p_project,
            'experiments', coalesce(json_agg(experiment.id), '[]'))
        FROM experiments experiment
        WHERE experiment.organization_id = p_organization
          AND experiment.project_id = p_project
          AND experiment.iid = ANY (p_experiments));
END $$;
"""

TRIGGER_FUNCTIONS = {
    "registry_outdate_by_child": OUTDATE_BY_CHILD,
    "registry_outdate_by_run": OUTDATE_BY_RUN,
    "registry_outdate_by_experiment": OUTDATE_BY_EXPERIMENT,
    "registry_outdate_by_dataset": OUTDATE_BY_DATASET,
}
FUNCTIONS = {
    "registry_build_documents": BUILD_DOCUMENTS,
    "registry_run_documents": RUN_DOCUMENTS,
    "registry_run_document": RUN_DOCUMENT,
    "registry_search_runs": SEARCH_RUNS,
    "registry_searched_experiments": SEARCHED,
}
GRANT = """
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {name} TO app_rw, app_maint;
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0019_index_searched_values")]

    operations = [
        migrations.CreateModel(
            name="RunDocument",
            fields=[
                (
                    "id",
                    models.UUIDField(editable=False, primary_key=True, serialize=False),
                ),
                ("organization_id", models.UUIDField(editable=False)),
                ("document", models.TextField()),
            ],
            options={"db_table": "run_documents"},
        ),
        ProtectTenantTable("RunDocument", grants="SELECT, INSERT, DELETE", keyed=False),
        *(
            migrations.RunSQL(create, f"DROP FUNCTION {name} CASCADE")
            for name, create in TRIGGER_FUNCTIONS.items()
        ),
        # They go with their functions.
        *(migrations.RunSQL(trigger, "") for trigger in TRIGGERS),
        *(
            migrations.RunSQL(create + GRANT.format(name=name), f"DROP FUNCTION {name}")
            for name, create in FUNCTIONS.items()
        ),
    ]

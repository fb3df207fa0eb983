"""Datasets of experiments, and what their runs used them for.

A hot function: see 0005_tracking_functions.
"""

import django.db.models.functions.comparison
from django.db import migrations, models

CONTEXT = models.GeneratedField(
    expression=django.db.models.functions.comparison.Coalesce(
        models.Func(
            models.F("tags"),
            template=(
                "jsonb_path_query_first(%(expressions)s, "
                "'$[*] ? (@.key == \"mlflow.data.context\").value') #>> '{}'"
            ),
        ),
        models.Value(""),
    ),
    output_field=models.TextField(db_collation="C"),
    db_persist=True,
)

# A dataset may be the input of every run of its experiment: the contexts of its uses
# are found by one hop along run_inputs_by_dataset each.
SEARCH_DATASETS = """
CREATE FUNCTION registry_search_datasets(
    p_organization uuid, p_project uuid, p_experiments bigint[], p_limit integer
) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    summaries text;
BEGIN
    SELECT string_agg(concat(
               '{"experiment_id":"', summary.iid,
               '","name":', to_json(summary.name), ',"digest":', to_json(summary.digest),
               ',"context":' || to_json(nullif(summary.context, '')), '}'), ',')
    INTO summaries
    FROM (
        SELECT experiment.iid, used.name, used.digest, used.context
        FROM experiments experiment
        CROSS JOIN LATERAL (
            SELECT dataset.name::text, dataset.digest::text, hop.context
            FROM datasets dataset
            CROSS JOIN LATERAL (
                WITH RECURSIVE hops AS (
                    (SELECT use.dataset_context AS context FROM run_inputs use
                     WHERE use.organization_id = p_organization
                       AND use.dataset_id = dataset.id
                     ORDER BY use.dataset_context LIMIT 1)
                    UNION ALL
                    SELECT (SELECT use.dataset_context AS context FROM run_inputs use
                            WHERE use.organization_id = p_organization
                              AND use.dataset_id = dataset.id
                              AND use.dataset_context > hops.context
                            ORDER BY use.dataset_context LIMIT 1)
                    FROM hops WHERE hops.context IS NOT NULL)
                SELECT hops.context FROM hops WHERE hops.context IS NOT NULL) AS hop
            WHERE dataset.organization_id = p_organization
              AND dataset.experiment_id = experiment.id
            ORDER BY dataset.name, dataset.digest, hop.context
            LIMIT p_limit) AS used
        WHERE experiment.organization_id = p_organization
          AND experiment.project_id = p_project
          AND experiment.iid = ANY (p_experiments)
        ORDER BY experiment.iid, used.name, used.digest, used.context
        LIMIT p_limit) AS summary;
    RETURN concat('{', '"dataset_summaries":[' || summaries || ']', '}');
END $$;
REVOKE ALL ON FUNCTION registry_search_datasets FROM PUBLIC;
GRANT EXECUTE ON FUNCTION registry_search_datasets TO app_rw, app_maint;
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0021_metric_histories")]

    operations = [
        migrations.AddField("runinput", "dataset_context", CONTEXT),
        migrations.AddIndex(
            "runinput",
            models.Index(
                fields=["dataset", "dataset_context"],
                include=("run", "organization"),
                name="run_inputs_by_dataset",
            ),
        ),
        migrations.RunSQL(SEARCH_DATASETS, "DROP FUNCTION registry_search_datasets"),
    ]

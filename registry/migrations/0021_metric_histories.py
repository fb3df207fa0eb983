"""Points of a metric as they leave: whole, page by page, of many runs, or a sample.

Hot functions: see 0005_tracking_functions.
"""

from django.db import migrations

# As in 0020_run_documents: a run is found by its id alone, and must be the caller's.
OWN = """
    run.organization_id IS NOT DISTINCT FROM p_organization
    AND run.project_id IS NOT DISTINCT FROM p_project
"""
# MLflow stores NaN as a 0 with a mark: it stands behind the 0s, below all that is more.
BY_VALUE = "CASE WHEN value = 'NaN' THEN 0 ELSE value END, value"
VALUE_DOWN = "CASE WHEN value = 'NaN' THEN 0 ELSE value END DESC, value DESC"

# Read by the key's own index; (timestamp, step, value) tells all points of a key apart
# and can mark a place. The first line says where the next page begins: with the last
# point of this one, which came along for that alone. Cutting it off here would take a
# number for every row.
METRIC_HISTORY = f"""
CREATE FUNCTION registry_metric_history(
    p_organization uuid, p_project uuid, p_run uuid, p_name text, p_limit bigint,
    p_token_project uuid, p_from_timestamp bigint, p_from_step bigint,
    p_from_value float8
) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    head text := '{{"key":' || to_json(p_name) || ',"value":';
    next_at integer := p_limit + 1;
    place text;
    metrics text;
BEGIN
    IF p_token_project <> p_project THEN
        RETURN 'foreign_token';
    END IF;
    PERFORM FROM experiment_runs run
    WHERE run.id = p_run AND {OWN};
    IF NOT FOUND THEN
        RETURN 'no_run';
    END IF;
    SELECT string_agg(head || json_number(value) || ',"timestamp":' || timestamp_ms
                      || ',"step":' || step || '}}', ','),
           CASE WHEN count(*) = next_at THEN concat_ws(' ', p_project,
                (array_agg(timestamp_ms) FILTER (WHERE p_limit > 0))[next_at],
                (array_agg(step) FILTER (WHERE p_limit > 0))[next_at],
                (array_agg(value) FILTER (WHERE p_limit > 0))[next_at]) END
    INTO metrics, place
    FROM (SELECT value, timestamp_ms, step FROM run_metrics
          WHERE experiment_run_id = p_run AND metric_name = p_name
            AND organization_id = p_organization
            AND (p_from_timestamp IS NULL OR
                 (timestamp_ms, step, {BY_VALUE})
                 >= (p_from_timestamp, p_from_step,
                     CASE WHEN p_from_value = 'NaN' THEN 0 ELSE p_from_value END,
                     p_from_value))
          ORDER BY timestamp_ms, step, {BY_VALUE}
          LIMIT next_at) AS page;
    IF metrics IS NULL THEN
        RETURN E'\\n{{}}';
    END IF;
    RETURN concat(place, E'\\n{{"metrics":[', metrics, ']}}');
END $$;
"""

# The whole histories of runs by id, one after the other, until there are `p_limit`
# points: a run beyond them is not even looked at. Who has no such run is not told.
METRIC_HISTORIES = f"""
CREATE FUNCTION registry_metric_histories(
    p_organization uuid, p_project uuid, p_runs uuid[], p_name text, p_limit integer
) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    head text := '{{"key":' || to_json(p_name) || ',"value":';
    found_run uuid;
    tail text;
    count_of_run integer;
    metrics text;
    parts text[] := '{{}}';
BEGIN
    FOR found_run IN SELECT run.id FROM experiment_runs run
                     WHERE run.id = ANY (p_runs) AND {OWN} ORDER BY run.id
    LOOP
        EXIT WHEN p_limit <= 0;
        tail := ',"run_id":"' || replace(found_run::text, '-', '') || '"}}';
        SELECT count(*), string_agg(
                   head || json_number(value) || ',"timestamp":' || timestamp_ms
                   || ',"step":' || step || tail, ',')
        INTO count_of_run, metrics
        FROM (SELECT value, timestamp_ms, step FROM run_metrics
              WHERE experiment_run_id = found_run AND metric_name = p_name
                AND organization_id = p_organization
              ORDER BY timestamp_ms, step, {BY_VALUE}
              LIMIT p_limit) AS history;
        p_limit := p_limit - count_of_run;
        parts := parts || metrics;
    END LOOP;
    RETURN concat('{{"metrics":[', array_to_string(parts, ','), ']}}');
END $$;
"""

# The points of one metric of a run from one step to another, both included.
CURVE = """
    experiment_run_id = p_run AND metric_name = p_name
    AND organization_id = p_organization AND step BETWEEN p_first AND p_last
"""
# Up to so many points each has its number, in some 3 ms.
FEW = 5000
# Which points MLflow takes, by the number of each in the order of step, timestamp and
# value: of as many even parts as points are asked for, the longer ones in front, the
# first point of each; and of the last part the last one.
RANKED = f"""
    RETURN QUERY
    SELECT point.value, point.timestamp_ms, point.step
    FROM (SELECT value, timestamp_ms, step,
                 row_number() OVER (ORDER BY step, timestamp_ms, {BY_VALUE}) - 1
                 AS number
          FROM run_metrics WHERE {CURVE}) AS point
    WHERE total <= p_points OR point.number IN (
        SELECT part * (total / p_points) + least(part, total % p_points)
        FROM generate_series(0, p_points - 2) AS part
        UNION ALL SELECT total - 1)
    ORDER BY point.number;
"""
# One number after the other costs 40 ms for 100,000 points. A long metric mostly has
# one point each so many steps, and then the number of a point follows from its step:
# one scan of the index for these steps finds the sample, and it is MLflow's. That so
# many of them are there is proof enough; otherwise the points are counted. Where steps
# are uneven, the points of many are spread evenly over the steps instead, by a hop
# along the index to each. Where that finds few, because many points share a step or lie
# close together, and where there are no more than a few thousand, they are numbered.
PROOF = 100
SAMPLE_METRIC = f"""
CREATE FUNCTION registry_sample_metric(
    p_organization uuid, p_run uuid, p_name text, p_points integer,
    p_first bigint, p_last bigint
) RETURNS TABLE (value float8, timestamp_ms bigint, step bigint)
LANGUAGE plpgsql STABLE ROWS 100 AS $$
#variable_conflict use_column
DECLARE
    total bigint;
    first_step bigint;
    next_step bigint;
    last_step bigint;
    stride bigint := 1;
    steps bigint := 0;
    wanted bigint[];
    found_values float8[];
    found_times bigint[];
    found_steps bigint[];
    is_sampled boolean := false;
BEGIN
    SELECT min(step), max(step) INTO first_step, last_step
    FROM run_metrics WHERE {CURVE};
    SELECT min(step) INTO next_step
    FROM run_metrics WHERE {CURVE} AND step > first_step;
    -- Further apart than a bigint counts: no steps to go by.
    IF last_step::numeric - first_step < 9223372036854775807 THEN
        stride := coalesce(next_step - first_step, 1);
        steps := (last_step - first_step) / stride + 1;
    END IF;

    IF steps > {FEW} AND p_points > {PROOF} THEN
        wanted := registry_steps_of_sample(first_step, stride, steps, p_points);
        SELECT array_agg(even.value), array_agg(even.timestamp_ms), array_agg(even.step)
        INTO found_values, found_times, found_steps
        FROM (SELECT DISTINCT ON (step) value, timestamp_ms, step
              FROM (SELECT value, timestamp_ms, step FROM run_metrics
                    WHERE {CURVE} AND step = ANY (wanted)
                    LIMIT 2 * p_points) AS at_step
              ORDER BY step, timestamp_ms, {BY_VALUE}) AS even;
        is_sampled := found_steps = wanted;
    END IF;

    IF is_sampled IS NOT TRUE THEN
        SELECT count(*) INTO total
        FROM (SELECT FROM run_metrics WHERE {CURVE} LIMIT {FEW} + 1) AS few;
        IF total > {FEW} AND steps > 0 THEN
            IF steps <= {FEW} THEN
                stride := 1;
                steps := last_step - first_step + 1;
            END IF;
            wanted := registry_steps_of_sample(first_step, stride, steps, p_points);
            SELECT array_agg(hop.value), array_agg(hop.timestamp_ms),
                   array_agg(hop.step)
            INTO found_values, found_times, found_steps
            FROM (SELECT DISTINCT ON (point.step)
                         point.value, point.timestamp_ms, point.step
                  FROM unnest(wanted) AS goal (step)
                  CROSS JOIN LATERAL (
                      SELECT value, timestamp_ms, step FROM run_metrics
                      WHERE {CURVE} AND step >= goal.step
                      ORDER BY step LIMIT 1) AS point
                  WHERE point.step > first_step AND point.step < last_step
                  ORDER BY point.step) AS hop;
            is_sampled := 2 * coalesce(cardinality(found_steps), 0) >= p_points - 2;
        END IF;
    END IF;

    IF is_sampled THEN
        RETURN QUERY
        SELECT point.value, point.timestamp_ms, point.step
        FROM run_metrics AS point
        WHERE {CURVE} AND step = first_step AND p_points > 1
        ORDER BY timestamp_ms, {BY_VALUE} LIMIT 1;
        RETURN QUERY
        SELECT found.* FROM unnest(found_values, found_times, found_steps) AS found;
        RETURN QUERY
        SELECT point.value, point.timestamp_ms, point.step
        FROM run_metrics AS point WHERE {CURVE} AND step = last_step
        ORDER BY timestamp_ms DESC, {VALUE_DOWN} LIMIT 1;
        RETURN;
    END IF;
    IF total > {FEW} THEN
        SELECT count(*) INTO total FROM run_metrics WHERE {CURVE};
    END IF;
    {RANKED}
END $$;
"""
# The steps of MLflow's sample, without the first and the last one, if each so many
# steps have one point.
STEPS_OF_SAMPLE = """
CREATE FUNCTION registry_steps_of_sample(
    p_first bigint, p_stride bigint, p_steps bigint, p_points integer
) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(p_first + p_stride * (part * (p_steps / p_points)
                                           + least(part, p_steps % p_points))
                     ORDER BY part)
    FROM generate_series(1::bigint, p_points - 2) AS part
$$;
"""

# Samples of runs in the order asked for; who has no such run is not told.
SAMPLE_HISTORIES = f"""
CREATE FUNCTION registry_sample_histories(
    p_organization uuid, p_project uuid, p_runs uuid[], p_name text,
    p_points integer, p_first bigint, p_last bigint
) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    head text := '{{"key":' || to_json(p_name) || ',"value":';
    metrics text;
BEGIN
    SELECT string_agg(
               head || json_number(point.value) || ',"timestamp":' || point.timestamp_ms
               || ',"step":' || point.step || ',"run_id":"'
               || replace(found.id::text, '-', '') || '"}}',
               ',' ORDER BY asked.place, point.place)
    INTO metrics
    FROM unnest(p_runs) WITH ORDINALITY AS asked (id, place)
    CROSS JOIN LATERAL (SELECT run.id FROM experiment_runs run
                        WHERE run.id = asked.id AND {OWN} LIMIT 1) AS found
    CROSS JOIN LATERAL registry_sample_metric(
        p_organization, found.id, p_name, p_points, p_first, p_last
    ) WITH ORDINALITY AS point (value, timestamp_ms, step, place);
    RETURN concat('{{', '"metrics":[' || metrics || ']', '}}');
END $$;
"""

FUNCTIONS = {
    "registry_metric_history": METRIC_HISTORY,
    "registry_metric_histories": METRIC_HISTORIES,
    "registry_steps_of_sample": STEPS_OF_SAMPLE,
    "registry_sample_metric": SAMPLE_METRIC,
    "registry_sample_histories": SAMPLE_HISTORIES,
}
GRANT = """
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {name} TO app_rw, app_maint;
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0020_run_documents")]

    operations = [
        migrations.RunSQL(create + GRANT.format(name=name), f"DROP FUNCTION {name}")
        for name, create in FUNCTIONS.items()
    ]

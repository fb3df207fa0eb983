"""Files by folder: paths compare byte by byte, and one function lists a folder."""

from django.db import migrations, models

# The rule of registry.relations, for functions and statements; tests hold them together.
CANDIDATE_PACKAGE = """
CREATE FUNCTION registry_candidate_package(
    p_organization uuid, p_project uuid, p_iid bigint
) RETURNS uuid LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT package.id FROM packages package
            WHERE package.organization_id = p_organization
              AND package.project_id = p_project
              AND package.name = 'ml_candidate_' || p_iid
              AND package.version = '-'
              AND package.deleted_at IS NULL
              AND package.status IN ('default', 'hidden', 'deprecated'));
END $$;
"""

# What stands directly in a folder, as a list of JSON without its brackets, or NULL;
# `p_shown` is put before each name.
#
# What stands below "a/" is what lies from "a/" to "a0", the next byte; nothing lies
# above as many of the last character as a path may have bytes.
LIST_FOLDER = """
CREATE FUNCTION registry_list_folder(
    p_organization uuid, p_package uuid, p_folder text, p_shown text
) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    first text := '';
    beyond text := repeat(chr(1114111), 257);
BEGIN
    IF p_folder <> '' THEN
        first := p_folder || '/';
        beyond := p_folder || '0';
    END IF;
    RETURN (
        SELECT string_agg(
                   concat('{"path":', to_json(p_shown || entry.name),
                          CASE WHEN entry.is_folder THEN ',"is_dir":true}'
                               ELSE ',"is_dir":false,"file_size":' || entry.size || '}'
                          END),
                   ',' ORDER BY entry.name)
        FROM (SELECT split_part(below.path, '/', 1) AS name,
                     strpos(below.path, '/') > 0 AS is_folder,
                     max(below.size_bytes) AS size
              FROM (SELECT substr(file.path, length(first) + 1) AS path,
                           file.size_bytes
                    FROM package_files file
                    WHERE file.organization_id = p_organization
                      AND file.package_id = p_package
                      AND file.path >= first AND file.path < beyond) AS below
              GROUP BY 1, 2) AS entry);
END $$;
"""

# A hot function: see 0005_tracking_functions. Without an experiment it lists for a run,
# whole paths and the root; with one for MLflow's proxy, names alone.
LIST_ARTIFACTS = """
CREATE FUNCTION registry_list_artifacts(
    p_organization uuid, p_project uuid, p_run uuid, p_experiment bigint, p_folder text
) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    found_run record;
    files text;
    shown text := '';
BEGIN
    SELECT run.iid, experiment.iid AS experiment,
           concat(rtrim(experiment.artifact_location, '/'), '/',
                  replace(run.id::text, '-', ''), '/artifacts') AS root
    INTO found_run
    FROM experiment_runs run
    CROSS JOIN LATERAL (SELECT parent.iid, parent.artifact_location
                        FROM experiments parent
                        WHERE parent.organization_id = run.organization_id
                          AND parent.id = run.experiment_id LIMIT 1) AS experiment
    WHERE run.id = p_run
      AND run.organization_id IS NOT DISTINCT FROM p_organization
      AND run.project_id IS NOT DISTINCT FROM p_project;
    IF NOT FOUND OR found_run.experiment <> p_experiment THEN
        RETURN 'no_run';
    END IF;

    IF p_experiment IS NULL AND p_folder <> '' THEN
        shown := p_folder || '/';
    END IF;
    files := registry_list_folder(
        p_organization,
        registry_candidate_package(p_organization, p_project, found_run.iid),
        p_folder, shown);
    RETURN concat('{', concat_ws(',',
        CASE WHEN p_experiment IS NULL THEN '"root_uri":' || to_json(found_run.root) END,
        '"files":[' || files || ']'), '}');
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_index_deleted_runs")]

    operations = [
        migrations.AlterField(
            model_name="packagefile",
            name="path",
            field=models.CharField(db_collation="C", max_length=1024),
        ),
        migrations.RunSQL(
            CANDIDATE_PACKAGE,
            "DROP FUNCTION registry_candidate_package(uuid, uuid, bigint)",
        ),
        migrations.RunSQL(
            LIST_FOLDER, "DROP FUNCTION registry_list_folder(uuid, uuid, text, text)"
        ),
        migrations.RunSQL(
            LIST_ARTIFACTS,
            "DROP FUNCTION registry_list_artifacts(uuid, uuid, uuid, bigint, text)",
        ),
    ]

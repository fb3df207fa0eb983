"""Statements of packages: to find a run's, to attach a file, to list a folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from mlops.db.uuid7 import uuid7
from registry.models import Package, Run
from registry.sql.answers import admitted, ask, run_key
from registry.storage import ArtifactKey, StoredBlob
from tenants.callers import Caller
from tenants.context import bound_alias
from tenants.models import Project

# Not the ORM: to build this query costs it more than the database takes to run it. The
# run is found by its id alone and must then be the caller's: as an equality the project
# would tempt the planner to read all runs of it while nobody has analyzed the table.
FIND_RUN = """
SELECT run.id, run.organization_id, run.deleted_at, run.project_id, run.iid,
       experiment.iid,
       registry_candidate_package(run.organization_id, run.project_id, run.iid),
       EXISTS (SELECT FROM projects project
               JOIN organizations organization
                 ON organization.id = project.organization_id
               WHERE project.organization_id = run.organization_id
                 AND project.id = run.project_id
                 AND num_nonnulls(project.storage_limit_bytes,
                                  project.storage_limit_files,
                                  organization.storage_limit_bytes,
                                  organization.storage_limit_files) > 0)
FROM experiment_runs run
CROSS JOIN LATERAL (SELECT parent.iid FROM experiments parent
                    WHERE parent.organization_id = run.organization_id
                      AND parent.id = run.experiment_id LIMIT 1) AS experiment
WHERE run.id = %(run)s
  AND run.organization_id IS NOT DISTINCT FROM %(organization)s
  AND run.project_id IS NOT DISTINCT FROM %(project)s
"""
# In the order of the model's fields, as from_db() takes the values.
FOUND = ["id", "organization_id", "deleted_at", "project_id", "iid"]

# Not the ORM: four statements for each of a thousand small files. Both arbiters are
# unique constraints (blobs_sha256, package_files_path), which serve the look-ups too.
# What lies below a path begins with it and a slash, and `^@` is "begins with". Nothing
# is stored beside a clash, against a rule, or over a file that a version in Production
# was registered with. The limits come along, for most projects have none.
ATTACH = """
WITH stored AS (
    INSERT INTO blobs (id, organization_id, sha256, size_bytes, created_at)
    VALUES (%(new_blob)s, %(organization)s, %(sha256)s, %(size)s, now())
    ON CONFLICT (organization_id, sha256) DO NOTHING
    RETURNING id
), known AS (
    SELECT id FROM blobs
    WHERE organization_id = %(organization)s AND sha256 = %(sha256)s
    FOR KEY SHARE
), blob AS (
    SELECT id FROM stored
    UNION ALL
    SELECT id FROM known
), clash AS (
    SELECT path FROM package_files
    WHERE organization_id = %(organization)s AND package_id = %(package)s
      AND (path = ANY(%(folders)s) OR path ^@ %(below)s)
    LIMIT 1
), rule AS (
    SELECT name_pattern, push_role FROM package_protection_rules
    WHERE organization_id = %(organization)s AND project_id = %(project)s
      AND push_role = ANY(%(out_of_reach)s)
      AND package_type IN ('', %(type)s)
      AND registry_name_matches(%(name)s, name_pattern)
    ORDER BY id LIMIT 1
), former AS (
    SELECT sha256, size_bytes FROM package_files
    WHERE organization_id = %(organization)s AND package_id = %(package)s
      AND path = %(path)s
), promoted AS (
    SELECT model.name, version.version FROM model_versions version
    JOIN registered_models model ON model.organization_id = version.organization_id
                                AND model.id = version.model_id
    WHERE version.organization_id = %(organization)s
      AND version.project_id = %(project)s AND version.package_id = %(package)s
      AND version.stage = 'Production' AND version.deleted_at IS NULL
      AND EXISTS (SELECT FROM former WHERE sha256 <> %(sha256)s)
    LIMIT 1
), attached AS (
    INSERT INTO package_files (id, organization_id, package_id, path, blob_id, sha256,
                               size_bytes, created_at, updated_at)
    SELECT %(new_file)s, %(organization)s, %(package)s, %(path)s, blob.id, %(sha256)s,
           %(size)s, now(), now()
    FROM blob WHERE NOT EXISTS (SELECT FROM clash) AND NOT EXISTS (SELECT FROM rule)
                AND NOT EXISTS (SELECT FROM promoted)
    ON CONFLICT (organization_id, package_id, path) DO UPDATE
    SET blob_id = EXCLUDED.blob_id, sha256 = EXCLUDED.sha256,
        size_bytes = EXCLUDED.size_bytes, updated_at = EXCLUDED.updated_at
    WHERE package_files.blob_id <> EXCLUDED.blob_id
)
SELECT (SELECT id FROM blob), (SELECT path FROM clash),
       (SELECT name_pattern FROM rule), (SELECT push_role FROM rule),
       (SELECT name || ' version ' || version FROM promoted),
       (SELECT size_bytes FROM former),
       project.storage_limit_bytes, project.storage_limit_files,
       organization.storage_limit_bytes, organization.storage_limit_files
FROM projects project
JOIN organizations organization ON organization.id = project.organization_id
WHERE project.organization_id = %(organization)s AND project.id = %(project)s
"""

LIST_ARTIFACTS = admitted("""
    registry_list_artifacts(caller.organization_id, caller.project_id, %(run)s,
                            %(experiment)s, %(folder)s)
""")


class FoundRun(NamedTuple):
    """A run and what stands around it; of the run itself only what `FOUND` names.

    `is_limited` where the project or its organization has a limit of its own on what
    packages hold.
    """

    run: Run
    experiment: int
    package: UUID | None
    is_limited: bool


def find_run(project: Project, run: UUID) -> FoundRun | None:
    using = bound_alias() or DEFAULT_DB_ALIAS
    with connections[using].cursor() as cursor:
        cursor.execute(
            FIND_RUN,
            {
                "organization": project.organization_id,
                "project": project.pk,
                "run": run,
            },
        )
        row = cursor.fetchone()
    if row is None:
        return None
    return FoundRun(Run.from_db(using, FOUND, row[:5]), *row[5:])


class Attached(NamedTuple):
    """`blob` is None when another transaction has just stored or swept the same bytes.

    `promoted` is a version in Production, `former_bytes` the size of the file that
    stood there; the limits are those of the project and of its organization.
    """

    blob: UUID | None
    clash: str | None
    pattern: str | None
    push_role: str | None
    promoted: str | None
    former_bytes: int | None
    project_bytes: int | None
    project_files: int | None
    organization_bytes: int | None
    organization_files: int | None


def attach(
    package: Package, key: ArtifactKey, blob: StoredBlob, out_of_reach: Sequence[str]
) -> Attached:
    """Store the row of a file, unless something stands against it.

    The package must be locked: two paths that clash could else be stored at once.
    `out_of_reach` are the roles that the caller lacks.
    """
    with connections[package._state.db or DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            ATTACH,
            {
                "organization": package.organization_id,
                "project": package.project_id,
                "package": package.pk,
                "name": package.name,
                "type": package.type,
                "out_of_reach": list(out_of_reach),
                "path": key.path,
                "folders": key.folders,
                "below": f"{key.path}/",
                "sha256": blob.sha256,
                "size": blob.size_bytes,
                "new_blob": uuid7(),
                "new_file": uuid7(),
            },
        )
        return Attached(*cursor.fetchone())


def list_artifacts(
    caller: Caller, run_id: str, folder: str, *, experiment: int | None = None
) -> bytes:
    """Return what stands directly in `folder` as JSON, by name; "" is the root.

    Whole paths and the root's address, or with an `experiment` the names alone.
    """
    parameters = {
        "run": run_key(run_id),
        "experiment": None if experiment is None else str(experiment),
        "folder": folder,
    }
    return ask(LIST_ARTIFACTS, caller, parameters, run_id=run_id)

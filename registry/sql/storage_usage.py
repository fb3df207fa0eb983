"""Statements of what packages hold: what may be held, and what is."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from tenants.context import bound_alias

# Not the ORM: one statement for what four models know, asked before each upload.
READ = """
SELECT coalesce(usage.size_bytes, 0), coalesce(usage.file_count, 0),
       whole.size_bytes, whole.file_count,
       project.storage_limit_bytes, project.storage_limit_files,
       organization.storage_limit_bytes, organization.storage_limit_files
FROM projects project
JOIN organizations organization ON organization.id = project.organization_id
LEFT JOIN storage_usage usage ON usage.organization_id = project.organization_id
                             AND usage.project_id = project.id
CROSS JOIN LATERAL (SELECT coalesce(sum(each.size_bytes), 0)::bigint AS size_bytes,
                           coalesce(sum(each.file_count), 0)::bigint AS file_count
                    FROM storage_usage each
                    WHERE each.organization_id = project.organization_id) AS whole
WHERE project.organization_id = %(organization)s AND project.id = %(project)s
"""

# Whoever counts against the organization's limit does so alone until its transaction
# ends. A statement of its own: the next one sees what was stored before.
WAIT_FOR_ORGANIZATION = """
SELECT pg_advisory_xact_lock(hashtextextended('storage:' || %s::text, 0))
"""

# The truth, by package_files_path and the key of packages. The counters are read by
# the same statement, so both are of one moment.
COMPARE = """
SELECT project.organization_id, project.id, organization.slug, project.slug,
       coalesce(usage.size_bytes, 0), coalesce(usage.file_count, 0),
       coalesce(held.size_bytes, 0)::bigint, coalesce(held.file_count, 0)
FROM projects project
JOIN organizations organization ON organization.id = project.organization_id
LEFT JOIN storage_usage usage ON usage.organization_id = project.organization_id
                             AND usage.project_id = project.id
LEFT JOIN (SELECT package.organization_id, package.project_id,
                  sum(file.size_bytes) AS size_bytes, count(*) AS file_count
           FROM packages package
           JOIN package_files file ON file.organization_id = package.organization_id
                                  AND file.package_id = package.id
           WHERE package.deleted_at IS NULL
             AND package.status <> 'pending_destruction'
           GROUP BY package.organization_id, package.project_id) AS held
       ON held.organization_id = project.organization_id
      AND held.project_id = project.id
WHERE (%(organization)s::text IS NULL OR organization.slug = %(organization)s)
  AND (%(project)s::text IS NULL OR project.slug = %(project)s)
ORDER BY organization.slug, project.slug
"""

# Two statements: the second sees all that was counted before the row was locked, and
# whoever stores meanwhile waits for the row and adds to what stands there then.
LOCK = """
SELECT id FROM storage_usage
WHERE organization_id = %(organization)s AND project_id = %(project)s FOR UPDATE
"""
RECOUNT = """
UPDATE storage_usage SET size_bytes = held.size_bytes, file_count = held.file_count,
                         updated_at = now()
FROM (SELECT coalesce(sum(file.size_bytes), 0) AS size_bytes, count(*) AS file_count
      FROM packages package
      JOIN package_files file ON file.organization_id = package.organization_id
                             AND file.package_id = package.id
      WHERE package.organization_id = %(organization)s
        AND package.project_id = %(project)s
        AND package.deleted_at IS NULL
        AND package.status <> 'pending_destruction') AS held
WHERE organization_id = %(organization)s AND project_id = %(project)s
"""
# Counts nothing, and makes the row where there is none.
TOUCH = "SELECT registry_count_storage(%(organization)s, %(project)s, 0, 0)"


class Held(NamedTuple):
    """What a project and its organization hold, and the limits set for each."""

    project_bytes: int
    project_files: int
    organization_bytes: int
    organization_files: int
    project_limit_bytes: int | None
    project_limit_files: int | None
    organization_limit_bytes: int | None
    organization_limit_files: int | None


class Compared(NamedTuple):
    """The counters of a project beside what its packages really hold."""

    organization_id: UUID
    project_id: UUID
    organization: str
    project: str
    counted_bytes: int
    counted_files: int
    size_bytes: int
    file_count: int

    @property
    def is_right(self) -> bool:
        counted = (self.counted_bytes, self.counted_files)
        return counted == (self.size_bytes, self.file_count)


def read(organization: UUID, project: UUID) -> Held | None:
    with connections[bound_alias() or DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(READ, {"organization": organization, "project": project})
        row = cursor.fetchone()
    return Held(*row) if row else None


def wait_for_organization(organization: UUID) -> None:
    with connections[bound_alias() or DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(WAIT_FOR_ORGANIZATION, [organization])


def compare(
    using: str, organization: str | None, project: str | None
) -> list[Compared]:
    with connections[using].cursor() as cursor:
        cursor.execute(COMPARE, {"organization": organization, "project": project})
        return [Compared(*row) for row in cursor.fetchall()]


def recount(row: Compared) -> None:
    """Inside a transaction: the row stays locked until it ends."""
    names = {"organization": row.organization_id, "project": row.project_id}
    with connections[bound_alias() or DEFAULT_DB_ALIAS].cursor() as cursor:
        for statement in (TOUCH, LOCK, RECOUNT):
            cursor.execute(statement, names)

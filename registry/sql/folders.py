"""What stands directly in a folder of a package: see registry_list_folder."""

from __future__ import annotations

from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from tenants.context import bound_alias
from tenants.models import Project

# Not the ORM: files are grouped by the next segment of their path, as JSON at once.
LIST_FOLDER = """
SELECT coalesce(registry_list_folder(%(organization)s, %(package)s, %(folder)s,
                                     %(shown)s), '')
"""


def list_folder(
    project: Project, package: UUID | None, folder: str, *, whole_paths: bool = False
) -> bytes:
    """Return entries as a list of JSON without brackets, by name; "" is the root."""
    with connections[bound_alias() or DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            LIST_FOLDER,
            {
                "organization": project.organization_id,
                "package": package,
                "folder": folder,
                "shown": f"{folder}/" if whole_paths and folder else "",
            },
        )
        (files,) = cursor.fetchone()
    return str(files).encode()

"""Numbers per project: what people and protocols call experiments and runs by."""

from __future__ import annotations

from django.db import connections

from tenants.models import Project

# One statement, and the last before the row that bears the number: until the commit
# every other create of the project waits for it.
TAKE = """
UPDATE project_counters SET next_value = next_value + 1, updated_at = now()
WHERE organization_id = %s AND project_id = %s AND kind = %s
RETURNING next_value - 1
"""


def take_number(project: Project, kind: str, *, using: str) -> int:
    """Return the next number of `kind`: experiment or run."""
    with connections[using].cursor() as cursor:
        cursor.execute(TAKE, [project.organization_id, project.pk, kind])
        (number,) = cursor.fetchone()
    return int(number)

"""Statements of protected packages: the rule, or the version, that stands against."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS, connections

from registry.models import Package
from tenants.context import bound_alias

# Not the ORM: registry_name_matches() reads the patterns, here as in ATTACH. A project
# has few rules, and package_protection_rules_pattern leads to them.
FIND_RULE = """
SELECT name_pattern, role FROM (
    SELECT id, name_pattern, package_type,
           CASE WHEN %(deleting)s THEN delete_role ELSE push_role END AS role
    FROM package_protection_rules
    WHERE organization_id = %(organization)s AND project_id = %(project)s
) AS rule
WHERE role = ANY(%(out_of_reach)s) AND package_type IN ('', %(type)s)
  AND registry_name_matches(%(name)s, name_pattern)
ORDER BY id LIMIT 1
"""


def find_rule(
    package: Package, out_of_reach: Sequence[str], *, deleting: bool
) -> tuple[str, str] | None:
    """Return pattern and role of the first rule that asks for one of these roles."""
    with connections[bound_alias() or DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            FIND_RULE,
            {
                "organization": package.organization_id,
                "project": package.project_id,
                "name": package.name,
                "type": package.type,
                "out_of_reach": list(out_of_reach),
                "deleting": deleting,
            },
        )
        row: tuple[str, str] | None = cursor.fetchone()
    return row

from __future__ import annotations

from typing import Any

from mlops.cli import MaintenanceCommand, Report
from tenants.permissions import OF_ORGANIZATION, ROLES


class Command(MaintenanceCommand):
    help = "Print the table of permissions: which roles hold each."

    def work(self, **options: Any) -> Report:
        table = [
            {
                "permission": str(permission),
                "of": "organization" if permission in OF_ORGANIZATION else "project",
                "roles": sorted(roles),
            }
            for permission, roles in ROLES.items()
        ]
        lines = [
            f"{row['permission']:22} {row['of']:13} {', '.join(row['roles'])}"
            for row in table
        ]
        return Report(own={"permissions": table}, lines=lines)

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from mlops.cli import MaintenanceCommand, Report
from tenants.permissions import OF_ORGANIZATION, OPT_IN, ROLES, Permission

COLUMNS = ("owner", "admin", "member", "maintainer", "editor", "viewer", "service")


class Command(MaintenanceCommand):
    help = "Print the table of permissions: which roles hold each."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--markdown",
            action="store_true",
            help="as docs/permissions.md has it",
        )

    def work(self, *, markdown: bool = False, **options: Any) -> Report:
        table = [row_of(permission) for permission in Permission]
        lines = markdown_of(table) if markdown else [line_of(row) for row in table]
        return Report(own={"permissions": table}, lines=lines)


def row_of(permission: Permission) -> dict[str, Any]:
    return {
        "permission": str(permission),
        "of": "organization" if permission in OF_ORGANIZATION else "project",
        "roles": sorted(ROLES[permission]),
        "opt_in": permission in OPT_IN,
        "for": str(permission.label),
    }


def line_of(row: dict[str, Any]) -> str:
    opt_in = " (service accounts: named)" if row["opt_in"] else ""
    roles = ", ".join(row["roles"])
    return f"{row['permission']:22} {row['of']:13} {roles}{opt_in}"


def markdown_of(table: list[dict[str, Any]]) -> list[str]:
    head = ["permission", "of", *COLUMNS, "what for"]
    lines = [cells(head), cells("---" for _ in head)]
    for row in table:
        marks = [mark(row, role) for role in COLUMNS]
        lines.append(cells([f"`{row['permission']}`", row["of"], *marks, row["for"]]))
    return lines


def mark(row: dict[str, Any], role: str) -> str:
    """A service account has roles in projects like a person; "named" is its opt-in."""
    roles = set(row["roles"])
    if role != "service":
        ruling = role in {"owner", "admin"} and "maintainer" in roles
        return "✔" if role in roles or ruling else ""
    if row["opt_in"]:
        return "named"
    return "✔" if roles & {"service", "maintainer", "editor", "viewer"} else ""


def cells(words: Any) -> str:
    return f"| {' | '.join(words)} |"

"""Reading the whole trail, and acting as somebody, without any tenant's context."""

from __future__ import annotations

from typing import Any

from django.db import connection

from audit.models import AuditLog
from tenants import sql


def entries(**lookup) -> list[AuditLog]:
    """All entries that match, oldest first, of whatever organization."""
    found = AuditLog._base_manager.using("default").filter(**lookup)
    return list(found.order_by("created_at"))


def only_entry(**lookup) -> AuditLog:
    (entry,) = entries(**lookup)
    return entry


def act_as(actor: str, *, request_line: str = "", reason: str = "") -> None:
    """Set what the triggers hear, for the rest of the transaction."""
    sql.bind("default", "", actor, request_line, reason)


def run(statement: str, *parameters: Any) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []

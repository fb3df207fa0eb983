"""Statements of tenancy: binding a transaction, admitting a caller, recording."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db import connection, connections

# One statement, so that binding costs one round trip.
BIND = """
SELECT set_config('app.organization_id', %s, true), set_config('app.actor', %s, true),
       set_config('app.request_id', %s, true), set_config('app.reason', %s, true)
"""

# Authenticates, resolves organization and project, weighs the permission and, when the
# verdict is "ok", binds the transaction: all a request needs before its own work.
ADMIT = """
SELECT verdict, organization_id, organization, project_id, project, project_ids,
       actor_kind, actor_id, actor_label, roles, permissions
FROM tenants_admit(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

# The same for a hot path, whose own work stands in the statement that admits (see
# tenants.callers). Only behind CASE is it certain that nothing runs before the verdict.
FROM_CALLER = """
FROM tenants_admit(%(public_id)s, %(digest)b, %(user)s, %(username)s,
                   %(organization)s, %(project)s, %(workspace)s,
                   %(permission)s, %(roles)s, %(needs_project)s, %(request_id)s)
     AS caller
"""

# What a person may enter; asked before any organization is bound.
MEMBERSHIPS = "SELECT id, slug, name, role FROM tenants_memberships(%s)"

# The frozen organization of an owner, who alone may restore it.
DELETED_ORGANIZATION = "SELECT tenants_deleted_organization(%s, %s)"

AUDIT_RECORD = "SELECT audit_record(%s, %s, %s, %s, %s::jsonb)"


def bind(
    using: str, organization: str, actor: str, request_id: str, reason: str
) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(BIND, [organization, actor, request_id, reason])


def admit(*arguments: Any) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(ADMIT, arguments)
        row: tuple[Any, ...] = cursor.fetchone()
    return row


def memberships(user_id: UUID) -> list[tuple[UUID, str, str, str]]:
    """Return (id, slug, name, role) of each organization of a person."""
    with connection.cursor() as cursor:
        cursor.execute(MEMBERSHIPS, [user_id])
        return list(cursor.fetchall())


def deleted_organization(user_id: UUID | None, slug: str) -> UUID | None:
    with connection.cursor() as cursor:
        cursor.execute(DELETED_ORGANIZATION, [user_id, slug])
        row = cursor.fetchone()
    return row[0] if row else None


def audit_record(
    action: str,
    outcome: str,
    object_type: str,
    object_id: UUID | None,
    details: dict[str, Any],
    *,
    using: str,
) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(
            AUDIT_RECORD, [action, outcome, object_type, object_id, json.dumps(details)]
        )

"""Statements of tenancy: binding a transaction, admitting a caller, recording."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, connections

# One statement, so that binding costs one round trip.
BIND = """
SELECT set_config('app.organization_id', %s, true), set_config('app.actor', %s, true),
       set_config('app.request', %s, true), set_config('app.reason', %s, true)
"""
SAY_WHY = "SELECT set_config('app.reason', %s, true)"

# Authenticates, resolves organization and project, weighs the permission and, when the
# verdict is "ok", binds the transaction: all a request needs before its own work.
ADMIT = """
SELECT verdict, organization_id, organization, project_id, project, project_ids,
       actor_kind, actor_id, actor_label, roles, permissions
FROM tenants_admit(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

# The same for a hot path, whose own work stands in the statement that admits (see
# tenants.callers). Only behind CASE is it certain that nothing runs before the verdict.
FROM_CALLER = """
FROM tenants_admit(%(public_id)s, %(digest)b, %(user)s, %(username)s,
                   %(organization)s, %(project)s, %(workspace)s,
                   %(permission)s, %(roles)s, %(needs_project)s, %(opt_in)s,
                   %(request_line)s)
     AS caller
"""

# What a person may enter; asked before any organization is bound.
MEMBERSHIPS = "SELECT id, slug, name, role FROM tenants_memberships(%s)"

# The frozen organization of an owner, who alone may restore it.
DELETED_ORGANIZATION = "SELECT tenants_deleted_organization(%s, %s)"

# Where a link of an invitation leads; asked before any organization is bound.
INVITATION = """
SELECT organization_id, id, is_mailed FROM tenants_find_invitation(%b)
"""

# Counts a failed authentication and recognizes a secret that was rotated away.
FAIL = """
SELECT bucket.granted, bucket.wait_seconds, token.id, token.organization_id
FROM throttle_take(%s, 1, %s, %s) AS bucket, tenants_rotated_away(%s, %s) AS token
"""
TOKEN_ORGANIZATION = "SELECT tenants_token_organization(%s, %s)"
NOTE_USES = "SELECT tenants_note_token_uses(%s, %s, %s, %s)"
REVOKE_LEAKED = "SELECT tenants_revoke_leaked(%s, %s, %s)"
# Tokens end by the clock that tenants_admit reads.
NOW = "SELECT now()"

# What one of the staff may enter or has asked to; and where a question of theirs goes.
SUPPORT_GRANTS = """
SELECT id, organization_id, slug, name, may_write, break_glass, expires_at
FROM tenants_support_grants(%s)
"""
SUPPORT_ORGANIZATION = "SELECT tenants_support_organization(%s, %s)"

# What a sign-in by an identity provider opens, by the person and the proven address.
INVITATIONS_FOR = "SELECT organization_id, id FROM tenants_invitations_for(%s)"
SIGN_ON_PLACES = """
SELECT organization_id, group_roles, owns_domain, role, was_member
FROM tenants_sign_on_places(%s, %s)
"""
CLOSED_TO_PASSWORDS = """
SELECT organization_id, organization, role FROM tenants_closed_to_passwords(%s)
"""

AUDIT_RECORD = "SELECT audit_record(%s, %s, %s, %s, %s::jsonb)"


def bind(
    using: str, organization: str, actor: str, request_line: str, reason: str
) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(BIND, [organization, actor, request_line, reason])


def say_why(using: str, reason: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(SAY_WHY, [reason])


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


def find_invitation(digest: bytes) -> tuple[UUID, UUID, bool] | None:
    """Return organization, invitation and whether the link was mailed, if it works."""
    with connection.cursor() as cursor:
        cursor.execute(INVITATION, [digest])
        row: tuple[UUID, UUID, bool] | None = cursor.fetchone()
    return row


def fail(*arguments: Any) -> tuple[int, float, UUID | None, UUID | None]:
    """Return granted, seconds to wait, and the token and organization of a reuse."""
    row: tuple[int, float, UUID | None, UUID | None]
    with connection.cursor() as cursor:
        cursor.execute(FAIL, arguments)
        row = cursor.fetchone()
    return row


def token_organization(public_id: str | None, digest: bytes | None) -> UUID | None:
    with connection.cursor() as cursor:
        cursor.execute(TOKEN_ORGANIZATION, [public_id, digest])
        row: tuple[UUID | None] = cursor.fetchone()
    return row[0]


def note_uses(
    public_ids: list[str], digests: list[bytes], prefixes: list[str], ages: list[float]
) -> int:
    """Return how many tokens' rows are newer for it."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE_USES, [public_ids, digests, prefixes, ages])
        return int(cursor.fetchone()[0])


def revoke_leaked(
    public_id: str | None, digest: bytes | None, request_line: str
) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(REVOKE_LEAKED, [public_id, digest, request_line])
        return bool(cursor.fetchone()[0])


def now(using: str) -> datetime:
    with connections[using].cursor() as cursor:
        cursor.execute(NOW)
        row: tuple[datetime] = cursor.fetchone()
    return row[0]


def support_grants(user_id: UUID) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(SUPPORT_GRANTS, [user_id])
        return list(cursor.fetchall())


def support_organization(user_id: UUID, slug: str) -> UUID | None:
    """Return the live organization of that address, to staff only."""
    with connection.cursor() as cursor:
        cursor.execute(SUPPORT_ORGANIZATION, [user_id, slug])
        row = cursor.fetchone()
    return row[0] if row else None


def invitations_for(email: str) -> list[tuple[UUID, UUID]]:
    """Return (organization, invitation) of each that the address could accept."""
    return _rows(INVITATIONS_FOR, [email])


def sign_on_places(user_id: UUID, domain: str) -> list[tuple[Any, ...]]:
    """Return (organization, role by group, whether the domain is its own, role or None,
    whether the person has ever been a member) of those that the sign-in concerns."""
    rows = _rows(SIGN_ON_PLACES, [user_id, domain])
    return [(key, json.loads(roles), *rest) for key, roles, *rest in rows]


def closed_to_passwords(user_id: UUID) -> list[tuple[UUID, str, str]]:
    """Return (id, slug, role) where the person is to sign in by the provider only."""
    return _rows(CLOSED_TO_PASSWORDS, [user_id])


def _rows(statement: str, values: list[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


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

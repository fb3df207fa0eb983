"""Who calls, for a statement that admits its caller itself: the hot paths' way in.

Everywhere else the middleware admits in a statement of its own. A hot route declares
`transaction = "manual"`, hands `caller_of(request, …)` to its SQL, and that begins with
FROM_CALLER of tenants.sql.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from mlops.telemetry import line_of
from tenants import authentication
from tenants.authentication import Credential, credential_of
from tenants.middleware import UNSAFE, WORKSPACE_HEADER, refuse_cross_site
from tenants.permissions import OF_ORGANIZATION, OPT_IN, ROLES


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request shows of itself, and the permission that its route needs."""

    credential: Credential
    permission: str
    organization: str | None = None
    project: str | None = None
    workspace: str | None = None
    request_line: str = ""
    user_agent: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """What FROM_CALLER wants to know."""
        credential = self.credential
        return {
            "public_id": credential.public_id,
            "digest": credential.digest,
            "user": credential.user_id,
            "username": credential.username,
            "organization": self.organization,
            "project": self.project,
            "workspace": self.workspace,
            "permission": self.permission,
            "roles": roles_for(self.permission),
            "needs_project": self.permission not in OF_ORGANIZATION,
            "opt_in": self.permission in OPT_IN,
            "request_line": self.request_line,
        }

    def check(self) -> None:
        """Admit the caller and do nothing: before it hears that its request is wrong.

        Raises what the statement itself would have refused it with.
        """
        with transaction.atomic():
            authentication.admit(
                self.credential,
                self.permission,
                organization=self.organization,
                project=self.project,
                workspace=self.workspace,
                request_line=self.request_line,
            )


@cache
def roles_for(permission: str) -> str:
    """Write the roles as PostgreSQL's array, once per permission."""
    return "{" + ",".join(sorted(ROLES[permission])) + "}"


def caller_of(
    request: HttpRequest, permission: str, names: Mapping[str, Any]
) -> Caller:
    """Raises Unauthenticated without credentials, Forbidden for a forged write."""
    credential = credential_of(request)
    if credential.user_id and request.method in UNSAFE:
        refuse_cross_site(request)
    return Caller(
        credential,
        permission,
        names.get("organization"),
        names.get("project"),
        request.META.get(WORKSPACE_HEADER),
        line_of(request),
        request.META.get("HTTP_USER_AGENT", ""),
    )

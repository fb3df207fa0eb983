"""Who acts, for which organization and why: all that the database hears of a request.

Four transaction-local settings (`app.organization_id`, `app.actor`, `app.request`,
`app.reason`) and `record()` are the whole contract with row-level security and with the
audit triggers. They live and die with the transaction, so a pooled connection never
carries one tenant's context into the next request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, models, transaction

from mlops.errors import DomainError
from tenants import sql


class TenantContextMissing(DomainError):
    """No organization is bound; use tenant_transaction() or acting_as()."""

    code = "tenant_context_missing"
    status = 500


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, service account, job or command, with the rights it has right now."""

    kind: str  # user | service | staff | command | job | anonymous
    id: UUID | None = None
    label: str = ""
    token: str = ""  # public id of the token that authenticated, if one did
    organization_id: UUID | None = None
    organization: str = ""  # slug
    project_id: UUID | None = None
    project: str = ""  # slug
    project_ids: tuple[UUID, ...] = ()  # what the token is bound to; empty: no bound
    roles: frozenset[str] = field(default_factory=frozenset)
    permissions: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        name = str(self.id) if self.id else self.label
        return (
            f"{self.kind}:{name}:{self.token}" if self.token else f"{self.kind}:{name}"
        )

    # Django and DRF ask this of whatever stands in request.user.
    is_authenticated = True
    is_active = True


class Every:
    """Stands for all organizations; only tenants.unscoped binds it."""


EVERY = Every()

_bound: ContextVar[UUID | Every | None] = ContextVar("bound", default=None)
_actor: ContextVar[Actor | None] = ContextVar("actor", default=None)
_alias: ContextVar[str | None] = ContextVar("alias", default=None)


def bound_organization() -> UUID | Every:
    """Raises TenantContextMissing when nothing is bound."""
    organization = _bound.get()
    if organization is None:
        raise TenantContextMissing
    return organization


def is_unscoped() -> bool:
    return _bound.get() is EVERY


def current_actor() -> Actor | None:
    return _actor.get()


def acting() -> Actor:
    """Raises TenantContextMissing when nobody acts."""
    actor = _actor.get()
    if actor is None:
        raise TenantContextMissing
    return actor


def bound_alias() -> str | None:
    """Return the alias whose transaction is bound; None is the default's."""
    return _alias.get()


@contextmanager
def binding(
    organization: UUID | Every | None, actor: Actor, using: str = DEFAULT_DB_ALIAS
) -> Iterator[None]:
    """Bind Python's half of the context; the database's half is the caller's duty.

    Queries inside go to the connection whose transaction is bound: on another one
    row-level security would show them nothing.
    """
    alias = _alias.set(None if using == DEFAULT_DB_ALIAS else using)
    bound, acting = _bound.set(organization), _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(acting)
        _bound.reset(bound)
        _alias.reset(alias)


@contextmanager
def tenant_transaction(
    actor: Actor,
    organization: UUID | None = None,
    *,
    request_line: str = "",
    reason: str = "",
    using: str = DEFAULT_DB_ALIAS,
) -> Iterator[Actor]:
    """Open a transaction bound to one organization: one statement more than BEGIN."""
    organization = organization or actor.organization_id
    if organization is None:
        raise TenantContextMissing
    with transaction.atomic(using=using), binding(organization, actor, using):
        sql.bind(using, str(organization), str(actor), request_line, reason)
        yield actor


@contextmanager
def acting_as(
    name: str, *, organization: UUID | None = None, reason: str = ""
) -> Iterator[Actor]:
    """Act as "command:purge" or "job:seal" for one organization, in a transaction.

    For all organizations at once there is tenants.unscoped.every_organization.
    """
    kind, _, label = name.partition(":")
    actor = Actor(kind=kind, label=label, organization_id=organization)
    with tenant_transaction(actor, reason=reason, using=settings.ADMIN_ALIAS):
        yield actor


def say_why(reason: str) -> None:
    """Give the reason for all that the transaction changes from here on."""
    sql.say_why(bound_alias() or DEFAULT_DB_ALIAS, reason[:500])


def record(
    action: str,
    *,
    target: models.Model | None = None,
    outcome: str = "ok",
    **details: Any,
) -> None:
    """Record an occurrence that changes no row, such as a sign-in or an export.

    The entry joins the caller's transaction and takes actor, request, reason and
    organization from its context.
    """
    sql.audit_record(
        action,
        outcome,
        target._meta.db_table if target else "",
        getattr(target, "pk", None),
        details,
        using=bound_alias() or DEFAULT_DB_ALIAS,
    )

"""The one way out of the tenant scope; a test lists the modules that may use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import transaction

from tenants import sql
from tenants.context import EVERY, Actor, binding


@contextmanager
def every_organization(
    actor: Actor, *, request_line: str = "", reason: str
) -> Iterator[None]:
    """See and change rows of all organizations, in one transaction of the role
    that row-level security does not bind.

    Commands, sweeps and superusers in the admin need it; the router sends every query
    inside to that role's connection.
    """
    alias = settings.ADMIN_ALIAS
    with transaction.atomic(using=alias), binding(EVERY, actor, alias):
        sql.bind(alias, "", str(actor), request_line, reason)
        yield

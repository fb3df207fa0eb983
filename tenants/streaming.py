"""Views that hold neither a transaction nor a connection while bytes flow.

A short transaction admits the caller and finds what is asked for; then bytes are read
or sent; after an upload a second one attaches the row. The second admits anew, so a
token that was revoked meanwhile stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from mlops.api.exceptions import domain_error
from mlops.errors import DomainError
from mlops.overload import transfer_turns
from tenants.authentication import credential_of
from tenants.callers import Caller, caller_of
from tenants.context import Actor, binding
from tenants.middleware import UNSAFE, enter, permission_of, refuse_cross_site
from tenants.models import Project

# Many transfers begin or end at the same moment; the pool is there for others, too.
turns = transfer_turns()


@dataclass(frozen=True, slots=True)
class Streaming:
    """How one skin declares its streaming views, and how it says no.

    Called with permissions by method, it is a decorator of functions that take the
    request, an Entrance, which knows what the address names, and the path in it.
    """

    refuse: Callable[[HttpRequest, DomainError], HttpResponseBase]
    not_allowed: Callable[[str, list[str]], DomainError]

    def __call__(
        self, **needs: str
    ) -> Callable[[Callable[..., HttpResponseBase]], Any]:
        return partial(self._declare, needs)

    def _declare(
        self, needs: dict[str, str], function: Callable[..., HttpResponseBase]
    ) -> Any:
        @wraps(function)
        def view(request: HttpRequest, path: str = "", **names: str) -> Any:
            try:
                if request.method not in allowed:
                    # Only who may come in is told which methods there are.
                    caller_of(request, otherwise, names).check()
                    raise self.not_allowed(request.method or "", allowed)
                permission = permission_of(view, request)
                return function(request, Entrance(request, permission, names), path)
            except Exception as error:
                # Without a translation it is a bug, for Django to report.
                known = domain_error(error)
                if known is None:
                    raise
                return self.refuse(request, known)

        otherwise = next(iter(needs.values()))
        allowed = [*needs, *(["HEAD"] if "GET" in needs else [])]
        view.needs = needs  # type: ignore[attr-defined]
        view.transaction = "manual"  # type: ignore[attr-defined]
        view.throttle = "organization"  # type: ignore[attr-defined]
        view.refuse = self.refuse  # type: ignore[attr-defined]
        return csrf_exempt(view)


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the caller of a view is let in: for a transaction, or for a statement."""

    request: HttpRequest
    permission: str
    names: Mapping[str, str]

    @contextmanager
    def admitted(self) -> Iterator[Project]:
        """Open a transaction bound to the caller's organization, and let go of it."""
        credential = credential_of(self.request)
        if credential.user_id and self.request.method in UNSAFE:
            refuse_cross_site(self.request)
        with turns.held():
            with transaction.atomic():
                names = dict(self.names)
                actor = enter(self.request, credential, self.permission, names)
                with binding(actor.organization_id, actor):
                    yield project_of(actor)
            # A slow client must not keep a connection from the others.
            if not connection.in_atomic_block:
                connection.close()

    def caller(self) -> Caller:
        return caller_of(self.request, self.permission, self.names)


def project_of(actor: Actor) -> Project:
    assert actor.organization_id, "a permission of a project was weighed"
    return Project(
        id=actor.project_id, organization_id=actor.organization_id, slug=actor.project
    )

"""One transaction per request, bound to its tenant before the view runs.

A view says what it needs by attributes:
  needs        a permission or SIGNED_IN, or {method or DRF action: permission}
  public       nobody signs in (health, static files, schema)
  otherwise    what a method needs that `needs` does not name, before the view refuses
  throttle     "organization": not held to the rate of one token (tenants.throttles)
  transaction  "manual": the view opens short transactions itself (streams, hot paths)
A route that says nothing answers 403. Django's admin has its own gate and is entered
by `admin_view`s, which tenants.admin binds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponseBase

from mlops.api.exceptions import domain_error, response_of
from mlops.db.retries import retrying
from mlops.errors import DomainError, Forbidden, TooManyRequests, Unauthenticated
from mlops.telemetry import line_of
from tenants import throttles, usage
from tenants.authentication import Credential, admit, credential_of
from tenants.context import Actor, binding
from tenants.failures import count_failure
from tenants.idempotency import answer_once
from tenants.permissions import SIGNED_IN, Permission
from tenants.refusals import REFUSED, record_refusal

WORKSPACE_HEADER = "HTTP_X_MLFLOW_WORKSPACE"
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# What a view may answer before it has looked at the token.
UNPROVEN = frozenset({302, 408, 413, 415, 429})

logger = logging.getLogger(__name__)


class TenantMiddleware:
    """Admit the caller, bind the transaction, run and render the view inside it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code in REFUSED:
            leave_word(request)
        return settled(request, response)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        if is_open(view):
            return None
        try:
            throttle(request, view)
            if is_manual(view):
                return None
            return retrying(partial(serve, request, view, args, kwargs))
        except Exception as error:
            # Without a translation it is a bug, for Django to report.
            known = domain_error(error)
            if known is None:
                raise
            return refusal_of(view)(request, known)


def is_manual(view: Any) -> bool:
    return getattr(view, "transaction", "") == "manual"


def throttle(request: HttpRequest, view: Any) -> None:
    """Raise TooManyRequests before any work; who shows nothing is told so later."""
    try:
        credential = credential_of(request)
    except Unauthenticated:
        return
    throttles.spend(credential, only_organization=is_exempt(view))


def is_exempt(view: Any) -> bool:
    declaring = (view, getattr(view, "cls", None))
    kinds = {getattr(each, "throttle", "") for each in declaring}
    return throttles.ORGANIZATION in kinds


def settled(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Count a failed authentication; of one that was none, note that it was used.

    Where no actor was set, the status says whether the credential was good.
    """
    match = request.resolver_match
    if match is None or is_open(match.func):
        return response
    if response.status_code == Unauthenticated.status:
        return counted(request, match.func, response)
    actor = getattr(request, "actor", None)
    is_proven = response.status_code < 500 and response.status_code not in UNPROVEN
    if actor is not None or is_proven:
        note_use(request, match.func, actor)
    return response


def counted(
    request: HttpRequest, view: Any, response: HttpResponseBase
) -> HttpResponseBase:
    """Answer 429 in the place of a 401 too many; without a database, the 401."""
    try:
        count_failure(request)
    except TooManyRequests as error:
        return refusal_of(view)(request, error)
    except DatabaseError:
        logger.warning("A failed authentication could not be counted.", exc_info=True)
    return response


def note_use(request: HttpRequest, view: Any, actor: Actor | None) -> None:
    try:
        credential = credential_of(request)
    except Unauthenticated:
        return
    organization = actor.organization_id if actor else None
    throttles.admitted(credential, organization, only_organization=is_exempt(view))
    usage.note(request, credential)


def leave_word(request: HttpRequest) -> None:
    """Record who was refused, whichever way the view lets its callers in."""
    match = request.resolver_match
    if match is None or is_open(match.func):
        return
    try:
        credential = credential_of(request)
    except Unauthenticated:
        return
    record_refusal(request, credential, match.kwargs)


def is_open(view: Any) -> bool:
    """Public views, and pages of the admin and of accounts, which have their own gates.

    Django marks a page by its site or by the admin of its model, and the site's own
    `admin_view` marks the rest (tenants/admin_site.py).
    """
    if getattr(view, "public", False):
        return True
    gates = ("admin_site", "model_admin", "account_page")
    marks = (getattr(view, name, None) for name in gates)
    return any(mark is not None for mark in marks)


def serve(
    request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]
) -> HttpResponseBase:
    credential = credential_of(request)
    permission = permission_of(view, request)
    if credential.user_id and request.method in UNSAFE:
        refuse_cross_site(request)
    with transaction.atomic():
        actor = enter(request, credential, permission, kwargs)
        request.actor = actor  # type: ignore[attr-defined]
        with binding(actor.organization_id, actor):
            answer = partial(view, request, *args, **kwargs)
            response = answer_once(request, view, actor, answer)
            # Templates and serializers query while they render.
            if hasattr(response, "render"):
                response.render()
        if response.status_code >= 400:
            # DRF has already caught the exception; nothing of the request may stay.
            transaction.set_rollback(True)
    # What one caller may see is for nobody's cache.
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def enter(
    request: HttpRequest,
    credential: Credential,
    permission: str,
    kwargs: dict[str, Any],
) -> Actor:
    request_line = line_of(request)
    if permission != SIGNED_IN:
        return admit(
            credential,
            permission,
            organization=kwargs.get("organization"),
            project=kwargs.get("project"),
            workspace=request.META.get(WORKSPACE_HEADER),
            request_line=request_line,
        )
    if credential.user_id:
        name = request.user.get_username()
        return Actor(kind="user", id=credential.user_id, label=name)
    return admit(credential, Permission.ORGANIZATION_READ, request_line=request_line)


def permission_of(view: Any, request: HttpRequest) -> str:
    """Raises Forbidden for a route that does not declare what it needs."""
    needs = needs_of(view)
    if isinstance(needs, str):
        return needs
    for word in words_for(view, request):
        if word in needs:
            return needs[word]
    if otherwise := getattr(view, "otherwise", ""):
        return str(otherwise)
    raise Forbidden("This route does not declare a permission.")


def needs_of(view: Any) -> str | dict[str, str]:
    """Read the declaration of a function, or of the class behind it."""
    for declaring in (view, getattr(view, "cls", None), getattr(view, "view_class", 0)):
        if needs := getattr(declaring, "needs", None):
            return needs
    return {}


def words_for(view: Any, request: HttpRequest) -> tuple[str, ...]:
    """The DRF action that the method maps to, then the method itself.

    A method that a view set does not have needs what its first one needs: whoever may
    enter is then told by DRF which methods there are.
    """
    method = (request.method or "GET").lower()
    actions: dict[str, str] = getattr(view, "actions", None) or {}
    if method == "head":
        method = "get"
    if actions and method not in actions:
        method = "get" if "get" in actions else next(iter(actions))
    if method == "options":
        method = "get"
    return tuple(filter(None, (actions.get(method), method.upper())))


def refuse_cross_site(request: HttpRequest) -> None:
    """A cookie alone may write only for a page of this very site."""
    origin = request.META.get("HTTP_ORIGIN")
    site = request.META.get("HTTP_SEC_FETCH_SITE", "same-origin")
    ours = f"{request.scheme}://{request.get_host()}"
    if origin != ours or site not in {"same-origin", "none"}:
        raise Forbidden("A session may write only from this site's own pages.")


def refusal_of(view: Any) -> Callable[[HttpRequest, DomainError], HttpResponseBase]:
    """The skin says how its errors look; REST's form is the default."""
    return getattr(view, "refuse", default_refusal)


def default_refusal(request: HttpRequest, error: DomainError) -> HttpResponseBase:
    return response_of(error)

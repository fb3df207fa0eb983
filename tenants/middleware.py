"""One transaction per request, bound to its tenant before the view runs.

A view says what it needs by attributes:
  needs        a permission or SIGNED_IN, or {method or DRF action: permission}
  public       nobody signs in (health, static files, schema)
  transaction  "manual": the view opens short transactions itself (streams, hot paths)
A route that says nothing answers 403. Django's admin has its own gate and is entered
by `admin_view`s, which tenants.admin binds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponseBase

from mlops.api.exceptions import domain_error, response_of
from mlops.errors import DomainError, Forbidden
from tenants.authentication import Credential, admit, credential_of
from tenants.context import Actor, binding
from tenants.permissions import SIGNED_IN, Permission
from tenants.refusals import record_refusal

WORKSPACE_HEADER = "HTTP_X_MLFLOW_WORKSPACE"
FORBIDDEN = 403
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class TenantMiddleware:
    """Admit the caller, bind the transaction, run and render the view inside it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        if is_open(view) or getattr(view, "transaction", "") == "manual":
            return None
        refused = None
        try:
            response = serve(request, view, args, kwargs)
        except Exception as error:
            # Without a translation it is a bug, for Django to report.
            known = domain_error(error)
            if known is None:
                raise
            response = refusal_of(view)(request, known)
            refused = getattr(error, "actor", None)
        actor = refused or getattr(request, "actor", None)
        if response.status_code == FORBIDDEN and actor is not None:
            record_refusal(request, actor)
        return response


def is_open(view: Any) -> bool:
    """Public views, and pages of the admin, whose own gate stands before each.

    Django marks a page by its site or by the admin of its model, and the site's own
    `admin_view` marks the rest (tenants/admin_site.py).
    """
    if getattr(view, "public", False):
        return True
    marks = (getattr(view, name, None) for name in ("admin_site", "model_admin"))
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
            response: HttpResponseBase = view(request, *args, **kwargs)
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
    request_id = request.request_id  # type: ignore[attr-defined]
    if permission != SIGNED_IN:
        return admit(
            credential,
            permission,
            organization=kwargs.get("organization"),
            project=kwargs.get("project"),
            workspace=request.META.get(WORKSPACE_HEADER),
            request_id=request_id,
        )
    if credential.user_id:
        name = request.user.get_username()
        return Actor(kind="user", id=credential.user_id, label=name)
    return admit(credential, Permission.ORGANIZATION_READ, request_id=request_id)


def permission_of(view: Any, request: HttpRequest) -> str:
    """Raises Forbidden for a route that does not declare what it needs."""
    needs = needs_of(view)
    if isinstance(needs, str):
        return needs
    for word in words_for(view, request):
        if word in needs:
            return needs[word]
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

"""One transaction per request, bound to its tenant before the view runs.

A view says what it needs by attributes:
  needs        a permission, or {method or DRF action: permission}
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

from mlops.api.exceptions import response_of
from mlops.errors import DomainError, Forbidden
from tenants.authentication import admit, credential_of
from tenants.context import binding

WORKSPACE_HEADER = "HTTP_X_MLFLOW_WORKSPACE"
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
        try:
            return serve(request, view, args, kwargs)
        except DomainError as error:
            response: HttpResponseBase = refusal_of(view)(request, error)
            return response


def is_open(view: Any) -> bool:
    """Public views, and Django's admin, whose own gate stands before every page."""
    if getattr(view, "public", False):
        return True
    return getattr(view, "admin_site", None) is not None


def serve(
    request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]
) -> HttpResponseBase:
    permission = permission_of(view, request)
    credential = credential_of(request)
    if credential.user_id and request.method in UNSAFE:
        refuse_cross_site(request)
    with transaction.atomic():
        actor = admit(
            credential,
            permission,
            organization=kwargs.get("organization"),
            project=kwargs.get("project"),
            workspace=request.META.get(WORKSPACE_HEADER),
            request_id=request.request_id,  # type: ignore[attr-defined]
        )
        request.actor = actor  # type: ignore[attr-defined]
        with binding(actor.organization_id, actor):
            response = view(request, *args, **kwargs)
            # Templates and serializers query while they render.
            if hasattr(response, "render"):
                response.render()
        if response.status_code >= 400:
            # DRF has already caught the exception; nothing of the request may stay.
            transaction.set_rollback(True)
    return response


def permission_of(view: Any, request: HttpRequest) -> str:
    """Raises Forbidden for a route that does not declare what it needs."""
    needs = getattr(view, "needs", None) or getattr(
        getattr(view, "cls", None), "needs", None
    )
    if isinstance(needs, str):
        return needs
    if needs:
        for word in words_for(view, request):
            if word in needs:
                return str(needs[word])
    raise Forbidden("This route does not declare a permission.")


def words_for(view: Any, request: HttpRequest) -> tuple[str, ...]:
    """The DRF action that the method maps to, then the method itself."""
    method = (request.method or "GET").lower()
    actions = getattr(view, "actions", None) or {}
    if method == "head":
        method = "get"
    if method == "options":
        method = "get" if "get" in actions or not actions else next(iter(actions))
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
    return getattr(view, "refuse", None) or default_refusal


def default_refusal(request: HttpRequest, error: DomainError) -> HttpResponseBase:
    return response_of(error)

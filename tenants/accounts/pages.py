"""The gate before each page of /accounts/: one transaction that knows who acts."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from mlops import throttles
from mlops.addresses import origin_of
from mlops.errors import DomainError
from mlops.telemetry import line_of
from tenants import sql
from tenants.context import Actor, binding

View = Callable[..., HttpResponseBase]


def account_page(view: View) -> View:
    """Run and render a page of allauth's or ours; itself it sends strangers to sign in.

    What TenantMiddleware does for a tenant's views, without a tenant: a person is
    before any organization here.
    """

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            limit(request)
            return serve(view, request, *args, **kwargs)
        except DomainError as error:
            return refusal(request, error)

    # The mark by which TenantMiddleware knows that this gate stands before a view.
    page.account_page = True  # type: ignore[attr-defined]
    return page


def serve(
    view: View, request: HttpRequest, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    actor = actor_of(request)
    with binding(None, actor), transaction.atomic():
        sql.bind(DEFAULT_DB_ALIAS, "", str(actor), line_of(request), "")
        response = view(request, *args, **kwargs)
        # Templates query while they render.
        if hasattr(response, "render"):
            response.render()
    return response


# Pages whose forms send mail, to addresses that anybody may type.
MAILING = {"account_reset_password", "account_email"}


def limit(request: HttpRequest) -> None:
    """Raises TooManyRequests for too many forms, or mails, from one address."""
    if request.method != "POST":
        return
    throttles.take("account_form", origin_of(request))
    match = request.resolver_match
    if match is not None and match.url_name in MAILING:
        throttles.take("account_mail", origin_of(request))


def refusal(request: HttpRequest, error: DomainError) -> HttpResponseBase:
    """A page that says what was refused, in the look of the others."""
    response = render(
        request, "accounts/refused.html", {"error": error}, status=error.status
    )
    if retry_after := getattr(error, "retry_after", None):
        response.headers["Retry-After"] = str(retry_after)
    return response


def actor_of(request: HttpRequest) -> Actor:
    user = request.user
    if not user.is_authenticated:
        return Actor(kind="anonymous")
    return Actor(kind="user", id=user.pk, label=user.get_username())

"""Django's middleware for browsers, left out of requests that bring a token.

Sessions, sign-in, CSRF and messages belong to cookies. A request with an Authorization
header is judged by that header alone (tenants.authentication.credential_of), so these
four would only cost it a quarter of a hot request's time. The admin always has them.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

ADMIN = "/admin/"


def brings_token(request: HttpRequest) -> bool:
    return "HTTP_AUTHORIZATION" in request.META and not request.path.startswith(ADMIN)


class ForBrowsers:
    """Mixed into a middleware: pass a request with a token straight on."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if brings_token(request):
            answer: HttpResponseBase = self.get_response(request)
            return answer
        return super().__call__(request)  # type: ignore[misc]


class Sessions(ForBrowsers, SessionMiddleware):
    pass


class SignedIn(ForBrowsers, AuthenticationMiddleware):
    pass


class Messages(ForBrowsers, MessageMiddleware):
    pass


class Csrf(ForBrowsers, CsrfViewMiddleware):
    def process_view(
        self, request: HttpRequest, callback: Any, args: Any, kwargs: Any
    ) -> Any:
        if brings_token(request):
            return None
        return super().process_view(request, callback, args, kwargs)

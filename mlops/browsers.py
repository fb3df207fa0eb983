"""Django's middleware for browsers, left out of requests that bring a token.

Sessions, sign-in, CSRF and messages belong to cookies. A request with an Authorization
header is judged by that header alone (tenants.authentication.credential_of), so these
would only cost it a quarter of a hot request's time. Pages for people always have them.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from allauth.account.middleware import AccountMiddleware
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.functional import SimpleLazyObject

PAGES = ("/admin/", "/accounts/")
# What browsers say of the page that sends a request; typed by hand it has none.
SENT_FROM = "HTTP_SEC_FETCH_SITE"
OUR_PAGES = ("same-origin", "none")
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
# In the session: when it began, and when it was last seen, in seconds.
BEGAN, SEEN = "began_at", "seen_at"
# A session's last sign is written down at most so often.
NOTED_EVERY_SECONDS = 60


def brings_token(request: HttpRequest) -> bool:
    return "HTTP_AUTHORIZATION" in request.META and not request.path.startswith(PAGES)


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
    """Django's, and no user for a session that is too old or was left alone."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        person: Any = SimpleLazyObject(lambda: person_of(request))
        request.user = person


class Accounts(ForBrowsers):
    """allauth's, which lends its pages the request and answers what they raise."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        self.pages = AccountMiddleware(get_response)
        self.process_exception = self.pages.process_exception

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        pages = self.get_response if brings_token(request) else self.pages
        answer: HttpResponseBase = pages(request)
        return answer


class Messages(ForBrowsers, MessageMiddleware):
    pass


class Csrf(ForBrowsers, CsrfViewMiddleware):
    """Django's, which also believes the browser about where a form was sent from."""

    def process_view(
        self, request: HttpRequest, callback: Any, args: Any, kwargs: Any
    ) -> Any:
        if brings_token(request):
            return None
        refused = super().process_view(request, callback, args, kwargs)
        if refused is None and self.is_judged(request, callback):
            if request.META.get(SENT_FROM, "same-origin") not in OUR_PAGES:
                return self._reject(request, "Sent from another site's page.")  # type: ignore[attr-defined]
        return refused

    def is_judged(self, request: HttpRequest, callback: Any) -> bool:
        is_exempt = getattr(callback, "csrf_exempt", False)
        return request.method not in SAFE and not is_exempt


def person_of(request: HttpRequest) -> Any:
    """Return who is signed in, ending the session once its time is over."""
    person = get_user(request)
    if not person.is_authenticated:
        return person
    now = int(time.time())
    if is_over(request.session, now) or not note(request.session, now):
        request.session.flush()
        return AnonymousUser()
    return person


def is_over(session: Any, now: int) -> bool:
    idle = now - session.get(SEEN, now)
    age = now - session.get(BEGAN, now)
    return idle > settings.SESSION_IDLE_SECONDS or age > settings.SESSION_COOKIE_AGE


def note(session: Any, now: int) -> bool:
    """Write down that the session was seen; False when it has ended meanwhile."""
    if now - session.get(SEEN, 0) < NOTED_EVERY_SECONDS:
        return True
    session.setdefault(BEGAN, now)
    session[SEEN] = now
    try:
        session.save()
        UserSession.objects.filter(session_key=session.session_key).update(
            last_seen_at=datetime.fromtimestamp(now, UTC)
        )
    except UpdateError:
        return False
    session.modified = False
    return True

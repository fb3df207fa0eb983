"""What a browser may do with our answers: a content security policy, and its company.

Every answer leaves with the strictest policy there is. A page that has to load
something stands in SURFACES with what it needs; a view may also set a policy itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

CSP = "Content-Security-Policy"
REPORTS = "/csp-reports"
# For answers that are no pages. Nothing that one of them says is ever run or loaded.
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"


def pages(*, forms: Iterable[str] = ()) -> str:
    """Write the policy of pages that run our own script files and nothing else.

    `forms` are further origins that a form may lead to. A browser counts those that it
    is redirected to, such as an identity provider's.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            " ".join(("form-action 'self'", *forms)),
            "base-uri 'none'",
            "frame-ancestors 'none'",
            # Not report-to: every browser knows this one, and sends at once.
            f"report-uri {REPORTS}",
        )
    )


SURFACES = (
    ("/admin/", pages()),
    ("/accounts/", pages()),
    ("/api/v1/docs/", pages()),
)
FEATURES = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "screen-wake-lock",
    "usb",
    "xr-spatial-tracking",
)
# Of all that a page could ask for, only signing in with a security key is left.
EVERYWHERE = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in FEATURES),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
# What one caller may see is for nobody's cache, and for nobody else.
CALLER = ("Authorization", "Cookie")
PRIVATE = {"Cache-Control": "no-store", "Vary": ", ".join(CALLER)}

Stored = dict[str, tuple[str, str]]


def stored(policy: str, **more: str) -> Stored:
    """Write headers in the form in which Django keeps those of an answer."""
    headers = {**EVERYWHERE, CSP: policy, **more}
    return {name.lower(): (name, value) for name, value in headers.items()}


OF_SURFACES = tuple((start, stored(each, **PRIVATE)) for start, each in SURFACES)
OF_OTHERS = stored(NOTHING, **PRIVATE)
OF_FILES = stored(NOTHING)


class BrowserPolicy:
    """Add what an answer does not say for itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        headers: Any = response.headers
        added = headers_of(request.path)
        if "Vary" in headers and added is not OF_FILES:
            patch_vary_headers(response, CALLER)
        # All at once: one by one they would cost a hot request 18 microseconds, not 2.
        headers._store = {**added, **headers._store}
        return response


def headers_of(path: str) -> Stored:
    for start, headers in OF_SURFACES:
        if path.startswith(start):
            return headers
    return OF_FILES if path.startswith(settings.STATIC_URL) else OF_OTHERS

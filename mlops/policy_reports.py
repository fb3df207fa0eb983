"""Where browsers report what our content security policy kept a page from doing.

Anybody may send such a report, so it is believed to be nothing but a hint: a few a
minute are read, and one line of each is logged, without anything that could be secret.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from mlops import throttles
from mlops.addresses import origin_of
from mlops.api.exceptions import response_of
from mlops.api.parsing import UnsupportedContent, parse_json, read_body
from mlops.errors import DomainError, InvalidInput

logger = logging.getLogger(__name__)

MAX_BYTES = 8 * 1024
# A browser may send several at once; who sends more has something else in mind.
MOST = 10
TYPES = ("application/csp-report", "application/reports+json", "application/json")
# Directives and the words that stand for an address are no longer.
WORD = 40


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that was blocked, as a browser tells it."""

    directive: str
    blocked: str
    page: str
    source: str
    line: str

    def __str__(self) -> str:
        return (
            f"{word(self.directive)} blocked {address(self.blocked)}"
            f" on {place(self.page)} by {place(self.source)}:{word(self.line)}"
        )


@csrf_exempt
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    try:
        throttles.take("csp_report", origin_of(request))
        if request.content_type not in TYPES:
            raise UnsupportedContent(f"Send {' or '.join(TYPES)}.")
        for violation in violations_of(parse_json(read_body(request, MAX_BYTES))):
            logger.warning("content security policy: %s", violation)
    except DomainError as error:
        return response_of(error)
    return HttpResponse(status=204)


# A browser has nobody to sign in as when it reports.
receive.public = True  # type: ignore[attr-defined]


def violations_of(body: Any) -> Iterator[Violation]:
    """Read the form of report-uri, one object, or that of report-to, a list of them.

    Raises InvalidInput for anything else.
    """
    reports = body if isinstance(body, list) else [body]
    for report in reports[:MOST]:
        if not isinstance(report, dict):
            raise InvalidInput("A report must be a JSON object.")
        if isinstance(told := report.get("csp-report"), dict):
            yield _violation(told, OF_REPORT_URI)
        elif isinstance(told := report.get("body"), dict):
            yield _violation(told, OF_REPORT_TO)
        else:
            raise InvalidInput("A report needs csp-report or body, which is an object.")


OF_REPORT_URI = (
    "effective-directive",
    "blocked-uri",
    "document-uri",
    "source-file",
    "line-number",
)
OF_REPORT_TO = (
    "effectiveDirective",
    "blockedURL",
    "documentURL",
    "sourceFile",
    "lineNumber",
)


def _violation(told: dict[str, Any], names: tuple[str, ...]) -> Violation:
    return Violation(*(str(told.get(name) or "") for name in names))


def word(text: str) -> str:
    kept = "".join(
        each for each in text[:WORD] if each.isascii() and each.isprintable()
    )
    return kept or "?"


def address(text: str) -> str:
    """Tell the origin of what was blocked, or the word that stands for it (inline)."""
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return "?"
    if parts.scheme and host:
        return word(f"{parts.scheme}://{host}")
    return word(parts.scheme or parts.path)


def place(text: str) -> str:
    """Tell which route of ours an address leads to: what stands in it may be secret."""
    try:
        path = urlsplit(text).path
        if path.startswith(settings.STATIC_URL):
            return word(path.rpartition("/")[2])
        return f"/{resolve(path).route}" if path else "?"
    except (Resolver404, ValueError):
        return "elsewhere"

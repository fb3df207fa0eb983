"""DomainError and the database's own errors as REST bodies, in one place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from mlops.db import uniques
from mlops.db.retries import has_lost
from mlops.errors import (
    AlreadyExists,
    DomainError,
    Forbidden,
    InvalidInput,
    NotFound,
    TooLarge,
    Unavailable,
)

REST = "/api/v1/"
FIELDS_SHOWN = 5
CHECK_VIOLATION = "23514"
# The database is gone or busy, or its connection broke under us.
OUTAGES = (OperationalError, InterfaceError)


def body_of(error: DomainError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message}}


def headers_of(error: DomainError) -> dict[str, str]:
    if error.status == 401:
        return {"WWW-Authenticate": 'Basic realm="mlops"'}
    if error.status in (429, 503):
        return {"Retry-After": str(getattr(error, "retry_after", 1))}
    return {}


def response_of(error: DomainError) -> JsonResponse:
    """For refusals before DRF has the request."""
    return JsonResponse(body_of(error), status=error.status, headers=headers_of(error))


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Serve as DRF's exception handler."""
    if isinstance(error, exceptions.ValidationError):
        return _invalid_fields(error)
    if has_lost(error):
        return None  # for the middleware, which runs the whole transaction again
    known = domain_error(error)
    if known is None:
        return None
    return Response(body_of(known), status=known.status, headers=headers_of(known))


def domain_error(error: Exception) -> DomainError | None:
    """Translate what Django, DRF and PostgreSQL raise; None means a bug: let it out."""
    match error:
        case DomainError():
            return error
        case Http404():
            return NotFound()
        case PermissionDenied():
            return Forbidden()
        case DjangoValidationError():
            return InvalidInput(" ".join(error.messages))
        case RequestDataTooBig():
            return TooLarge()
        case TooManyFieldsSent() | TooManyFilesSent():
            return InvalidInput("The form or query has too many fields.")
        case SuspiciousOperation():
            return InvalidInput()
        case IntegrityError():
            return _broken_rule(error)
        case DataError():
            return InvalidInput("A value does not fit its column.")
        case OperationalError() | InterfaceError():
            return Unavailable()
        case exceptions.APIException():
            return _of_drf(error)
    return None


def _broken_rule(error: IntegrityError) -> DomainError | None:
    """Name the rule; a service that knows the value names that as well.

    A check without a name is a partition that is missing: our fault, no caller's.
    """
    if fields := uniques.fields_of(error):
        return AlreadyExists(f"One with the same {fields} already exists.")
    if uniques.is_broken(error):
        return AlreadyExists()
    diagnosis = getattr(error.__cause__, "diag", None)
    if name := getattr(diagnosis, "constraint_name", None):
        return InvalidInput(f"A value breaks the rule {name}.")
    if getattr(error.__cause__, "sqlstate", "") == CHECK_VIOLATION:
        return None
    # Raised by a trigger of ours, in words meant for the caller.
    return InvalidInput(getattr(diagnosis, "message_primary", None) or "")


def _of_drf(error: exceptions.APIException) -> DomainError:
    known = DomainError(str(error.detail))
    known.status = error.status_code
    known.code = str(error.default_code)
    return known


def _invalid_fields(error: exceptions.ValidationError) -> Response:
    problems = list(_problems(error.detail))
    message = " ".join(problems[:FIELDS_SHOWN]) or InvalidInput().message
    body = body_of(InvalidInput(message))
    body["error"]["fields"] = error.detail
    return Response(body, status=400)


def _problems(detail: Any, path: str = "") -> Iterator[str]:
    """Yield "field: what is wrong" from DRF's nest of dictionaries and lists."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            whole = name == "non_field_errors"
            yield from _problems(inner, path if whole else f"{path}.{name}".lstrip("."))
    elif isinstance(detail, list):
        for inner in detail:
            yield from _problems(inner, path)
    else:
        yield f"{path}: {detail}" if path else str(detail)


# Django's own pages for what never reached a view. They repeat nothing of a request;
# where programs ask, the same is said in the form that they read.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    said = for_programs(request, InvalidInput())
    return said or defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    said = for_programs(request, Forbidden())
    return said or defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    said = for_programs(request, NotFound())
    return said or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what nobody translated; Django calls this while it handles that."""
    if isinstance(sys.exc_info()[1], OUTAGES):
        return said_early(request, Unavailable())
    return for_programs(request, _internal()) or defaults.server_error(request)


def for_programs(request: HttpRequest, error: DomainError) -> HttpResponse | None:
    """Answer in JSON below the paths that have a form for errors, else None."""
    response = said_early(request, error)
    return response if response["Content-Type"] == "application/json" else None


def said_early(request: HttpRequest, error: DomainError) -> HttpResponse:
    refuse = import_string(settings.EARLY_REFUSAL)
    status_line, headers, body = refuse(request.META, error)
    return HttpResponse(body, status=int(status_line[:3]), headers=dict(headers))


def _internal() -> DomainError:
    error = DomainError("The server failed; its log knows more by the X-Request-Id.")
    error.status, error.code = 500, "internal"
    return error

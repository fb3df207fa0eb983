"""DomainError and the database's own errors as REST bodies, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from mlops.db import uniques
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


def body_of(error: DomainError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message}}


def headers_of(error: DomainError) -> dict[str, str]:
    if error.status == 401:
        return {"WWW-Authenticate": 'Basic realm="mlops"'}
    if error.status in (429, 503):
        return {"Retry-After": "1"}
    return {}


def response_of(error: DomainError) -> JsonResponse:
    """For refusals before DRF has the request."""
    return JsonResponse(body_of(error), status=error.status, headers=headers_of(error))


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Serve as DRF's exception handler."""
    if isinstance(error, exceptions.ValidationError):
        return _invalid_fields(error)
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
        case SuspiciousOperation():
            return InvalidInput()
        case IntegrityError():
            return _broken_rule(error)
        case DataError():
            return InvalidInput("A value does not fit its column.")
        case OperationalError():
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


# Django's own pages for what never reached a view; REST speaks JSON there, too.


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(REST):
        return response_of(NotFound())
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(REST):
        return response_of(InvalidInput())
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path.startswith(REST):
        return response_of(_internal())
    return defaults.server_error(request)


def _internal() -> DomainError:
    error = DomainError("The server failed; its log knows more by the X-Request-Id.")
    error.status, error.code = 500, "internal"
    return error

"""DomainError and the database's own errors as REST bodies, in one place."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from mlops.errors import (
    AlreadyExists,
    DomainError,
    Forbidden,
    InvalidInput,
    NotFound,
    Unavailable,
)

UNIQUE_VIOLATION = "23505"


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
        case IntegrityError():
            return _broken_constraint(error)
        case DataError():
            return InvalidInput("A value does not fit its column.")
        case OperationalError():
            return Unavailable()
        case exceptions.APIException():
            return _of_drf(error)
    return None


def _broken_constraint(error: IntegrityError) -> DomainError:
    state = getattr(error.__cause__, "sqlstate", "")
    name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "")
    if state == UNIQUE_VIOLATION:
        return AlreadyExists(f"It already exists ({name}).")
    return InvalidInput(f"A value breaks the rule {name or state}.")


def _of_drf(error: exceptions.APIException) -> DomainError:
    known = DomainError(str(error.detail))
    known.status = error.status_code
    known.code = str(error.default_code)
    return known


def _invalid_fields(error: exceptions.ValidationError) -> Response:
    body = {
        "error": {
            "code": InvalidInput.code,
            "message": "Some fields are not valid.",
            "fields": error.detail,
        }
    }
    return Response(body, status=400)

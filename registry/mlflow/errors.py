"""DomainError as MLflow says it: {"error_code", "message"} and a status.

MLflow's client tries again for minutes after a 5xx, so nothing that a caller can cause
answers one: INVALID_STATE, which MLflow's own server sends with 500, is a 400 here.
"""

from __future__ import annotations

import orjson
from django.http import HttpRequest, HttpResponse

from mlops.api.exceptions import headers_of
from mlops.errors import (
    AlreadyExists,
    Conflict,
    DomainError,
    Forbidden,
    InvalidInput,
    InvalidState,
    LimitExceeded,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)


class EndpointNotFound(NotFound):
    """There is no such endpoint."""


class MethodNotAllowed(DomainError):
    """The endpoint does not take this method."""

    status = 405

    def __init__(self, method: str, allowed: list[str]) -> None:
        self.allowed = allowed
        super().__init__(f"Method {method} is not allowed; use {' or '.join(allowed)}.")


class Unsupported(DomainError):
    """This installation does not have what was asked for."""

    status = 501


CODES: dict[type[DomainError], tuple[str, int]] = {
    InvalidInput: ("INVALID_PARAMETER_VALUE", 400),
    InvalidState: ("INVALID_STATE", 400),
    Unauthenticated: ("UNAUTHENTICATED", 401),
    Forbidden: ("PERMISSION_DENIED", 403),
    EndpointNotFound: ("ENDPOINT_NOT_FOUND", 404),
    NotFound: ("RESOURCE_DOES_NOT_EXIST", 404),
    MethodNotAllowed: ("ENDPOINT_NOT_FOUND", 405),
    AlreadyExists: ("RESOURCE_ALREADY_EXISTS", 400),
    Conflict: ("RESOURCE_CONFLICT", 409),
    LimitExceeded: ("RESOURCE_LIMIT_EXCEEDED", 400),
    TooLarge: ("BAD_REQUEST", 413),
    TooManyRequests: ("REQUEST_LIMIT_EXCEEDED", 429),
    Unsupported: ("NOT_IMPLEMENTED", 501),
    Unavailable: ("TEMPORARILY_UNAVAILABLE", 503),
}


def code_of(error: DomainError) -> tuple[str, int]:
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    if error.status >= 500:
        return "INTERNAL_ERROR", error.status
    return "BAD_REQUEST", error.status


def refuse(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Answer what an endpoint raises, or what stands before it has refused."""
    code, status = code_of(error)
    response = HttpResponse(
        orjson.dumps({"error_code": code, "message": error.message}),
        status=status,
        content_type="application/json",
        headers=headers_of(error),
    )
    if isinstance(error, MethodNotAllowed):
        response["Allow"] = ", ".join(error.allowed)
    return response

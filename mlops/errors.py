"""The errors that services raise and that each skin translates exactly once."""

from __future__ import annotations

import math


class DomainError(Exception):
    """Something that the caller asked for cannot be done.

    The docstring of a subclass is its default message. `code` is the stable machine
    word of REST; `status` is the HTTP status of REST (MLflow has a table of its own).
    """

    code = "error"
    status = 400

    def __init__(self, message: str = "") -> None:
        self.message = message or (self.__doc__ or "").split("\n")[0]
        super().__init__(self.message)


class InvalidInput(DomainError):
    """The request is not valid."""

    code = "invalid_input"


class PreconditionFailed(DomainError):
    """What the request expects to find is not what stands there."""

    code = "precondition_failed"
    status = 412


class LimitExceeded(InvalidInput):
    """An object holds as much as it may."""

    code = "limit_exceeded"


class InvalidState(DomainError):
    """The object is not in a state that allows this."""

    code = "invalid_state"


class Unauthenticated(DomainError):
    """Authentication failed. Send an API token."""

    code = "unauthenticated"
    status = 401


class Forbidden(DomainError):
    """You may not do this."""

    code = "forbidden"
    status = 403


class NotFound(DomainError):
    """Not found."""

    code = "not_found"
    status = 404


class AlreadyExists(DomainError):
    """It already exists."""

    code = "already_exists"
    status = 409


class Conflict(DomainError):
    """The change conflicts with the present state."""

    code = "conflict"
    status = 409


class TooLarge(DomainError):
    """The request is larger than this server accepts."""

    code = "too_large"
    status = 413


class TooManyRequests(DomainError):
    """Too many requests; try again later."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str = "", *, retry_after: float = 1) -> None:
        """Clients wait for whole seconds, and never for none."""
        super().__init__(message)
        self.retry_after = max(1, math.ceil(retry_after))


class Unavailable(DomainError):
    """The service cannot answer right now; try again."""

    code = "unavailable"
    status = 503

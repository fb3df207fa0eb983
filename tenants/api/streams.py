"""Streaming views of REST: how they are declared, and what they share."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase, QueryDict

from mlops.api.exceptions import response_of
from mlops.api.parsing import read_query
from mlops.errors import DomainError, InvalidInput
from tenants.streaming import Streaming


class MethodNotAllowed(DomainError):
    """The address does not take this method."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, method: str, allowed: list[str]) -> None:
        self.allowed = allowed
        super().__init__(f"Method {method} is not allowed; use {', '.join(allowed)}.")


def refuse(request: HttpRequest, error: DomainError) -> HttpResponseBase:
    response = response_of(error)
    if isinstance(error, MethodNotAllowed):
        response["Allow"] = ", ".join(error.allowed)
    return response


streaming = Streaming(refuse, MethodNotAllowed)


def known_query(request: HttpRequest, known: set[str]) -> QueryDict:
    """Raises InvalidInput for a parameter that there is not, or that comes twice."""
    query = read_query(request)
    for name, values in query.lists():
        if name not in known:
            choice = ", ".join(sorted(known)) or "none"
            raise InvalidInput(
                f"Unknown query parameter {name[:50]!r}; there are: {choice}."
            )
        if len(values) > 1:
            raise InvalidInput(f"Query parameter {name} is given twice; send one.")
    return query

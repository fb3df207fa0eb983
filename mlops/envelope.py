"""What stands around a body, and how much of it there may be: address and headers.

The server in front reads heads of any kind up to a bound of its own; here each part
has one, and whoever is over it hears so in the form that its path speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from mlops.api.exceptions import for_programs
from mlops.errors import DomainError

MAX_ADDRESS_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024


class AddressTooLong(DomainError):
    """The address is longer than this server reads."""

    code = "address_too_long"
    status = 414


class HeadersTooLarge(DomainError):
    """The headers are larger than this server reads."""

    code = "headers_too_large"
    status = 431


class EnvelopeMiddleware:
    """Refuse before anything is read of a request that is mostly envelope."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        error = too_much_of(request.META)
        if error is None:
            return self.get_response(request)
        said = for_programs(request, error)
        return said or HttpResponse(
            error.message, status=error.status, content_type="text/plain"
        )


def too_much_of(meta: Mapping[str, Any]) -> DomainError | None:
    address = len(meta["PATH_INFO"]) + len(meta.get("QUERY_STRING", ""))
    if address > MAX_ADDRESS_BYTES:
        return AddressTooLong(
            f"The address has {address} bytes; send at most {MAX_ADDRESS_BYTES}, and"
            " the rest in the body of a POST."
        )
    headers = sum(
        len(name) + len(value) for name, value in meta.items() if name[:5] == "HTTP_"
    )
    if headers > MAX_HEADER_BYTES:
        return HeadersTooLarge(
            f"The headers have {headers} bytes; send at most {MAX_HEADER_BYTES}."
        )
    return None

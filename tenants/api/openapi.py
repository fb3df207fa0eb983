"""The description of REST, for programs and as pages that work offline."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, resolve_url
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from mlops.api.exceptions import response_of
from mlops.errors import DomainError
from tenants.permissions import SIGNED_IN


class TokenScheme(OpenApiAuthenticationExtension):
    """A token as bearer, or as the password of Basic with the user name "token"."""

    target_class = "tenants.authentication.AdmittedActor"
    name = ["token", "basic"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "mlp_…"},
            {"type": "http", "scheme": "basic"},
        ]


# What mlops.api.exceptions answers, whatever went wrong.
ERROR = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "description": "A word for programs."},
                "message": {"type": "string", "description": "A text for people."},
                "fields": {"description": "Of a body: what is wrong, by its fields."},
            },
        }
    },
}
REFUSED = {
    "description": "Refused, or failed.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}

IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Sent again with the same key within a day, a request is answered"
    " as the first time and done once.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


@cache
def description() -> dict[str, Any]:
    """Describe all routes; it takes a second and stays the same until a restart."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    schema["components"]["schemas"]["Error"] = ERROR
    for methods in schema["paths"].values():
        for method, operation in methods.items():
            operation["responses"].setdefault("default", REFUSED)
            if method == "post":
                operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    return schema


class SchemaView(SpectacularAPIView):
    needs = SIGNED_IN

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(description())


class DocumentationView(SpectacularSwaggerSplitView):
    needs = SIGNED_IN
    url_name = "schema"


def to_sign_in(request: HttpRequest, error: DomainError) -> HttpResponseBase:
    """Send people with a browser to the form, and tell programs what is missing."""
    if error.status == 401 and "text/html" in request.META.get("HTTP_ACCEPT", ""):
        return redirect(f"{resolve_url(settings.LOGIN_URL)}?next={request.path}")
    return response_of(error)


schema = SchemaView.as_view()
documentation = DocumentationView.as_view()
documentation.refuse = to_sign_in  # type: ignore[attr-defined]

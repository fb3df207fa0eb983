from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from registry.relations import strict_relations
from tenants.api.base import ReadMixin


class StrictReadMixin(ReadMixin):
    """List and detail of rows with a package, which no list reads one by one."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with strict_relations():
            return super().list(request, *args, **kwargs)

from __future__ import annotations

from typing import Any

from django.db import connection
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audit import proofs
from audit.api.pagination import TrailPagination
from audit.api.serializers import AuditLogSerializer, ProofSerializer
from audit.models import AuditLog
from audit.selections import Selection, selection_of
from tenants.api.base import ReadMixin, TenantViewSet
from tenants.permissions import Permission


class AuditLogViewSet(ReadMixin, TenantViewSet):
    """The trail of an organization, newest first; nobody writes it here.

    Below a project's address its maintainers read what is of that project.

    Time, actor, and object (type and id) have an index each. For whatever else is
    asked a page looks at 10,000 entries at most of what those leave: it may be short,
    or empty, while `next` leads on to older ones.
    """

    queryset = AuditLog.objects.all()
    serializer_class = AuditLogSerializer
    filterset_class = Selection
    pagination_class = TrailPagination
    needs = {
        "list": Permission.AUDIT_READ,
        "retrieve": Permission.AUDIT_READ,
        "proof": Permission.AUDIT_READ,
    }

    def filter_queryset(self, queryset: Any) -> Any:
        """Note, for the pages, what has to be looked through."""
        found = super().filter_queryset(queryset.so_far())
        selection = selection_of(self.request.query_params, queryset)
        whole = AuditLog.objects.so_far()
        self.looked_through = selection.looked_through(whole, self.actor)
        return found

    @extend_schema(responses=ProofSerializer)
    @action(detail=True, methods=["get"])
    def proof(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What shows somebody outside that the entry was sealed as it is; 409 while it
        is in no seal yet.
        """
        return Response(proofs.prove(connection, self.get_object()))

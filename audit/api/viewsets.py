from __future__ import annotations

from audit.api.filters import AuditLogFilterSet
from audit.api.serializers import AuditLogSerializer
from audit.models import AuditLog
from tenants.api.base import ReadMixin, TenantViewSet
from tenants.permissions import Permission


class AuditLogViewSet(ReadMixin, TenantViewSet):
    """The trail of an organization, newest first; nobody writes it here.

    Below a project's address its maintainers read what is of that project.
    """

    queryset = AuditLog.objects.all()
    serializer_class = AuditLogSerializer
    filterset_class = AuditLogFilterSet
    needs = {"list": Permission.AUDIT_READ, "retrieve": Permission.AUDIT_READ}

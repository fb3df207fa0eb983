from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from audit.api import viewsets

router = SimpleRouter(use_regex_path=False)
router.register("audit-logs", viewsets.AuditLogViewSet, "audit-log")

urlpatterns = [
    path("organizations/<slug:organization>/", include(router.urls)),
]

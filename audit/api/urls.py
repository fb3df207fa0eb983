from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from audit.api import viewsets

router = SimpleRouter(use_regex_path=False)
router.register("audit-logs", viewsets.AuditLogViewSet, "audit-log")

of_project = SimpleRouter(use_regex_path=False)
of_project.register("audit-logs", viewsets.AuditLogViewSet, "project-audit-log")

OF_ORGANIZATION = "organizations/<slug:organization>/"

urlpatterns = [
    path(OF_ORGANIZATION, include(router.urls)),
    path(OF_ORGANIZATION + "projects/<slug:project>/", include(of_project.urls)),
]

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from audit.api import viewsets
from audit.api.exports import export

router = SimpleRouter(use_regex_path=False)
router.register("audit-logs", viewsets.AuditLogViewSet, "audit-log")

of_project = SimpleRouter(use_regex_path=False)
of_project.register("audit-logs", viewsets.AuditLogViewSet, "project-audit-log")

OF_ORGANIZATION = "organizations/<slug:organization>/"

OF_PROJECT = OF_ORGANIZATION + "projects/<slug:project>/"
EXPORT = "audit-logs/export/"

urlpatterns = [
    # Before the entries, whose ids could be any word.
    path(OF_ORGANIZATION + EXPORT, export),
    path(OF_PROJECT + EXPORT, export),
    path(OF_ORGANIZATION, include(router.urls)),
    path(OF_PROJECT, include(of_project.urls)),
]

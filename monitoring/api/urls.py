from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from monitoring.api import viewsets

router = SimpleRouter(use_regex_path=False)
router.register("drift-reports", viewsets.DriftReportViewSet, "drift-report")
router.register("alert-rules", viewsets.AlertRuleViewSet, "alert-rule")
router.register("alerts", viewsets.AlertViewSet, "alert")

urlpatterns = [
    path(
        "organizations/<slug:organization>/projects/<slug:project>/",
        include(router.urls),
    ),
]

"""Table of contents: health, REST, MLflow by token and by path, admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from mlops import health, policy_reports

urlpatterns = [
    path("", include("registry.mlflow.root_urls")),
    # Asked most, so it stands near the top, from where a request is compared.
    path("", include("registry.mlflow.urls")),
    path("mlflow/<slug:organization>/<slug:project>/", include("registry.mlflow.urls")),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("csp-reports", policy_reports.receive),
    path("admin/", admin.site.urls),
    path("accounts/", include("tenants.accounts.urls")),
    path("api/v1/", include("tenants.api.urls")),
    path("api/v1/", include("registry.api.urls")),
    path("api/v1/", include("monitoring.api.urls")),
    path("api/v1/", include("audit.api.urls")),
]

handler400 = "mlops.api.exceptions.bad_request"
handler403 = "mlops.api.exceptions.forbidden"
handler404 = "mlops.api.exceptions.not_found"
handler500 = "mlops.api.exceptions.server_error"

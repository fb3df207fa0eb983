"""Table of contents: health, REST, MLflow by token and by path, admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from mlops import health

urlpatterns = [
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("admin/", admin.site.urls),
]

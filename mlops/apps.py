from __future__ import annotations

from django.apps import AppConfig


class MlopsConfig(AppConfig):
    """The project as an app without models, so that it may hold commands."""

    name = "mlops"
    verbose_name = "MLOps platform"

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class MlopsConfig(AppConfig):
    """The project as an app without models, so that it may hold commands."""

    name = "mlops"
    verbose_name = "MLOps platform"

    def ready(self) -> None:
        # Registers the checks; nothing may import settings' users before apps are up.
        import_module("mlops.checks")

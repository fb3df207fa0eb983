"""MLflow's routes that are of an organization, not of a project: workspaces."""

from __future__ import annotations

from registry.mlflow import urls

urlpatterns = urls.root_urlpatterns

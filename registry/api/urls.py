from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from registry.api import viewsets

router = SimpleRouter(use_regex_path=False)
router.register("experiments", viewsets.ExperimentViewSet, "experiment")
router.register("runs", viewsets.RunViewSet, "run")
router.register("models", viewsets.ModelViewSet, "model")
router.register("model-versions", viewsets.ModelVersionViewSet, "model-version")
router.register("packages", viewsets.PackageViewSet, "package")
router.register("deployments", viewsets.DeploymentViewSet, "deployment")

urlpatterns = [
    path(
        "organizations/<slug:organization>/projects/<slug:project>/",
        include(router.urls),
    ),
]

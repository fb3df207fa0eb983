from __future__ import annotations

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from registry.api import package_files, packages, viewsets
from registry.api.evaluation_datasets import EvaluationDatasetViewSet
from registry.api.logged_models import LoggedModelViewSet
from registry.api.retention import RetentionRuleViewSet

router = SimpleRouter(use_regex_path=False)
router.register("experiments", viewsets.ExperimentViewSet, "experiment")
router.register("runs", viewsets.RunViewSet, "run")
router.register("logged-models", LoggedModelViewSet, "logged-model")
router.register("evaluation-datasets", EvaluationDatasetViewSet, "evaluation-dataset")
router.register("models", viewsets.ModelViewSet, "model")
router.register("model-versions", viewsets.ModelVersionViewSet, "model-version")
router.register("packages", packages.PackageViewSet, "package")
router.register(
    "package-protection-rules", packages.ProtectionRuleViewSet, "protection-rule"
)
router.register("retention-rules", RetentionRuleViewSet, "retention-rule")
router.register("deployments", viewsets.DeploymentViewSet, "deployment")

# Behind the router, which knows what lies at packages/<id>/.
files_of_packages = [
    path("storage/", packages.StorageViewSet.as_view({"get": "retrieve"})),
    path("packages/<pk>/archive/", package_files.archive),
    re_path(
        r"^packages/(?P<name>[^/]+)/(?P<version>[^/]+)/(?P<path>[\s\S]*)\Z",
        package_files.package_file,
    ),
]

packages_of_organization = packages.OrganizationPackageViewSet.as_view({"get": "list"})

urlpatterns = [
    path("organizations/<slug:organization>/packages/", packages_of_organization),
    path(
        "organizations/<slug:organization>/projects/<slug:project>/",
        include([*router.urls, *files_of_packages]),
    ),
]

from __future__ import annotations

import time
from typing import Any

from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api import serializers
from registry.api.expanding import EXPAND, ExpandMixin
from registry.api.filters import (
    DeploymentFilterSet,
    ExperimentFilterSet,
    ModelFilterSet,
    ModelVersionFilterSet,
    RunFilterSet,
)
from registry.api.searching import SearchPagination
from registry.api.strict import StrictReadMixin
from registry.models import (
    Alias,
    Deployment,
    Experiment,
    ModelVersion,
    Package,
    PackageFile,
    RegisteredModel,
    Run,
    Stage,
)
from registry.search.fields import EXPERIMENTS, MODELS, RUNS, VERSIONS
from registry.services import (
    deployments,
    experiments,
    models,
    purges,
    runs,
    versions,
)
from registry.storage import ArtifactKey
from tenants.api.base import (
    CASCADE,
    ChangeMixin,
    ProjectViewSet,
    PurgeMixin,
    ReadMixin,
    RestoreMixin,
    changes_of,
)
from tenants.permissions import Permission
from tenants.services import deletion

# Files of each package that a list shows; the package's own page has them all.
FILES_SHOWN = 50
DEFAULT_FOLDER = "model"
ORDERED = frozenset({"order_by"})


def first_files() -> Prefetch:
    """The first files of each package, however many packages: one query."""
    files = PackageFile.objects.order_by("path")[:FILES_SHOWN]
    return Prefetch("files", files, to_attr="first_files")


def summed_packages() -> Any:
    return Package.objects.with_totals().prefetch_related(first_files())


class ExperimentViewSet(
    ReadMixin,
    mixins.CreateModelMixin,
    ChangeMixin,
    RestoreMixin,
    PurgeMixin,
    ProjectViewSet,
):
    queryset = Experiment.objects.with_deleted().prefetch_related("tags")
    serializer_class = serializers.ExperimentSerializer
    filterset_class = ExperimentFilterSet
    pagination_class = SearchPagination.of(EXPERIMENTS, "name, creation_time DESC")
    parameters = {"list": ORDERED}
    needs = {
        "list": Permission.TRACKING_READ,
        "retrieve": Permission.TRACKING_READ,
        "create": Permission.TRACKING_WRITE,
        "partial_update": Permission.TRACKING_WRITE,
        "destroy": Permission.TRACKING_DELETE,
        "restore": Permission.TRACKING_DELETE,
        "purge": Permission.PURGE,
    }

    def perform_create(self, serializer: Any) -> None:
        asked = changes_of(serializer)
        serializer.instance = experiments.create_experiment(self.project, **asked)

    def perform_update(self, serializer: Any) -> None:
        """Tags that the body leaves out stay as they are."""
        experiment, changes = serializer.instance, changes_of(serializer)
        deletion.refuse_deleted(experiment)
        if "name" in changes:
            experiments.rename_experiment(experiment, name=changes["name"])
        experiments.set_experiment_tags(experiment, changes.get("tags", {}))
        serializer.instance = self.get_object()

    def perform_destroy(self, experiment: Experiment) -> None:
        experiments.delete_experiment(experiment)

    def perform_restore(self, experiment: Experiment) -> None:
        experiments.restore_experiment(experiment)

    def perform_purge(self, experiment: Experiment, confirm: str) -> None:
        purges.ask_to_purge(experiment, confirm=confirm)


@extend_schema_view(
    list=extend_schema(parameters=[EXPAND]),
    retrieve=extend_schema(parameters=[EXPAND]),
)
class RunViewSet(
    ExpandMixin,
    StrictReadMixin,
    mixins.CreateModelMixin,
    ChangeMixin,
    RestoreMixin,
    PurgeMixin,
    ProjectViewSet,
):
    queryset = Run.objects.with_deleted().select_related("experiment")
    serializer_class = serializers.RunSerializer
    filterset_class = RunFilterSet
    expansions = {
        "package": Prefetch("package", summed_packages()),
        "params": "params",
        "metrics": "latest_metrics",
        "tags": "tags",
    }
    pagination_class = SearchPagination.of(RUNS, "metrics.loss, start_time DESC")
    parameters = {
        "list": ORDERED | {"expand"},
        "retrieve": frozenset({"expand"}),
    }
    needs = {
        "list": Permission.TRACKING_READ,
        "retrieve": Permission.TRACKING_READ,
        "create": Permission.TRACKING_WRITE,
        "partial_update": Permission.TRACKING_WRITE,
        "destroy": Permission.TRACKING_DELETE,
        "restore": Permission.TRACKING_DELETE,
        "purge": Permission.PURGE,
    }

    def perform_create(self, serializer: Any) -> None:
        asked = changes_of(serializer)
        experiment = self.referred(Experiment.objects, asked.pop("experiment_id"))
        ended = asked.pop("end_time_ms", None)
        asked.setdefault("start_time_ms", time.time_ns() // 1_000_000)
        run = runs.create_run(experiment, user_name=self.actor.label, **asked)
        if ended is not None:
            runs.update_run(run, end_time_ms=ended)
        serializer.instance = run

    def perform_update(self, serializer: Any) -> None:
        """Tags that the body leaves out stay as they are."""
        run, changes = serializer.instance, changes_of(serializer)
        changed = {"name", "status", "end_time_ms"} & set(changes)
        runs.update_run(run, **{name: changes[name] for name in changed})
        runs.set_run_tags(run, changes.get("tags", {}))
        serializer.instance = self.get_object()

    def perform_destroy(self, run: Run) -> None:
        runs.delete_run(run)

    def restore_parent(self, run: Run) -> None:
        experiments.restore_experiment(run.experiment)

    def perform_restore(self, run: Run) -> None:
        runs.restore_run(run)

    def perform_purge(self, run: Run, confirm: str) -> None:
        purges.ask_to_purge(run, confirm=confirm)


class ModelViewSet(
    ReadMixin,
    mixins.CreateModelMixin,
    ChangeMixin,
    RestoreMixin,
    PurgeMixin,
    ProjectViewSet,
):
    queryset = RegisteredModel.objects.with_deleted().prefetch_related(
        "tags", Prefetch("aliases", Alias.objects.select_related("model_version"))
    )
    serializer_class = serializers.RegisteredModelSerializer
    filterset_class = ModelFilterSet
    pagination_class = SearchPagination.of(MODELS, "name, timestamp DESC")
    parameters = {"list": ORDERED}
    needs = {
        "list": Permission.REGISTRY_READ,
        "retrieve": Permission.REGISTRY_READ,
        "create": Permission.REGISTRY_WRITE,
        "partial_update": Permission.REGISTRY_WRITE,
        "destroy": Permission.REGISTRY_DELETE,
        "restore": Permission.REGISTRY_DELETE,
        "purge": Permission.PURGE,
        "set_alias": Permission.REGISTRY_WRITE,
        "delete_alias": Permission.REGISTRY_WRITE,
    }

    def perform_create(self, serializer: Any) -> None:
        made = models.create_model(self.project, **changes_of(serializer))
        serializer.instance = made

    def perform_update(self, serializer: Any) -> None:
        """Tags that the body leaves out stay as they are."""
        changes = changes_of(serializer)
        models.set_model_tags(serializer.instance, changes.pop("tags", {}))
        models.update_model(serializer.instance, **changes)
        serializer.instance = self.get_object()

    def perform_destroy(self, model: RegisteredModel) -> None:
        models.delete_model(model)

    def perform_restore(self, model: RegisteredModel) -> None:
        models.restore_model(model)

    def perform_purge(self, model: RegisteredModel, confirm: str) -> None:
        purges.ask_to_purge(model, confirm=confirm)

    @extend_schema(request=serializers.AliasSerializer)
    @action(detail=True, methods=["post"], url_path="set-alias")
    def set_alias(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        model = self.get_object()
        asked = self.asked(serializers.AliasSerializer)
        version = model.versions.fetch(version=asked["version"])
        models.set_alias(model, name=asked["name"], version=version)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=serializers.AliasNameSerializer)
    @action(detail=True, methods=["post"], url_path="delete-alias")
    def delete_alias(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        model = self.get_object()
        asked = self.asked(serializers.AliasNameSerializer)
        models.delete_alias(model, name=asked["name"])
        return Response(self.get_serializer(self.get_object()).data)


class ModelVersionViewSet(
    ReadMixin, mixins.CreateModelMixin, ChangeMixin, RestoreMixin, ProjectViewSet
):
    queryset = (
        ModelVersion.objects.with_deleted()
        .select_related("registered_model")
        .prefetch_related("tags", "aliases")
    )
    serializer_class = serializers.ModelVersionSerializer
    filterset_class = ModelVersionFilterSet
    pagination_class = SearchPagination.of(VERSIONS, "name, version_number DESC")
    parameters = {"list": ORDERED}
    needs = {
        "list": Permission.REGISTRY_READ,
        "retrieve": Permission.REGISTRY_READ,
        "create": Permission.REGISTRY_WRITE,
        "partial_update": Permission.REGISTRY_WRITE,
        "destroy": Permission.REGISTRY_DELETE,
        "restore": Permission.REGISTRY_DELETE,
        "transition": Permission.REGISTRY_WRITE,
    }

    def perform_create(self, serializer: Any) -> None:
        """The address of the content is made here; a client names a run's folder."""
        asked = changes_of(serializer)
        path = asked.pop("path", DEFAULT_FOLDER)
        key = asked.pop("registered_model_id")
        model = self.referred(RegisteredModel.objects, key)
        run = self.referred(Run.objects, asked.pop("run_id", None))
        serializer.instance = versions.create_version(
            model,
            run=run,
            source=f"runs:/{run.pk.hex}/{ArtifactKey(path)}" if run else "",
            package=run.package if run else None,
            **asked,
        )

    def perform_update(self, serializer: Any) -> None:
        """Tags that the body leaves out stay as they are."""
        changes = changes_of(serializer)
        versions.set_version_tags(serializer.instance, changes.pop("tags", {}))
        versions.update_version(serializer.instance, **changes)
        serializer.instance = self.get_object()

    def perform_destroy(self, version: ModelVersion) -> None:
        versions.delete_version(version)

    def restore_parent(self, version: ModelVersion) -> None:
        models.restore_model(version.registered_model)

    @extend_schema(
        request=None,
        parameters=[CASCADE],
        responses=serializers.RestoredVersionSerializer,
    )
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        left = versions.restore_version(self.with_live_parent(self.get_object()))
        version = self.get_object()
        version.left_behind = left
        return Response(serializers.RestoredVersionSerializer(version).data)

    @extend_schema(request=serializers.TransitionSerializer)
    @action(detail=True, methods=["post"])
    def transition(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Move the version to a stage; Production needs the right to promote."""
        version = self.get_object()
        asked = self.asked(serializers.TransitionSerializer)
        versions.transition_stage(
            version,
            stage=Stage(asked["stage"]),
            archive_existing=asked["archive_existing"],
        )
        return Response(self.get_serializer(version).data)


class DeploymentViewSet(
    ReadMixin, mixins.CreateModelMixin, ChangeMixin, RestoreMixin, ProjectViewSet
):
    queryset = Deployment.objects.with_deleted().select_related(
        "model_version__registered_model"
    )
    serializer_class = serializers.DeploymentSerializer
    filterset_class = DeploymentFilterSet
    needs = {
        "list": Permission.REGISTRY_READ,
        "retrieve": Permission.REGISTRY_READ,
        "create": Permission.REGISTRY_WRITE,
        "partial_update": Permission.REGISTRY_WRITE,
        "destroy": Permission.REGISTRY_DELETE,
        "restore": Permission.REGISTRY_DELETE,
    }

    def perform_create(self, serializer: Any) -> None:
        asked = self._with_version(changes_of(serializer))
        serializer.instance = deployments.create_deployment(self.project, **asked)

    def perform_update(self, serializer: Any) -> None:
        asked = self._with_version(changes_of(serializer))
        deployments.update_deployment(serializer.instance, **asked)

    def _with_version(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "model_version_id" in asked:
            key = asked.pop("model_version_id")
            asked["model_version"] = self.referred(ModelVersion.objects, key)
        return asked

    def perform_destroy(self, deployment: Deployment) -> None:
        deployments.delete_deployment(deployment)

    def restore_parent(self, deployment: Deployment) -> None:
        version = deployment.model_version
        if version is not None:
            models.restore_model(version.registered_model)
            versions.restore_version(version)

    def perform_restore(self, deployment: Deployment) -> None:
        deployments.restore_deployment(deployment)

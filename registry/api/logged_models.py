from __future__ import annotations

import django_filters
from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.api.expanding import EXPAND, ExpandMixin
from registry.api.searching import SearchFilter, SearchPagination
from registry.api.serializers import STAMPS, PackageSummarySerializer
from registry.api.strict import StrictReadMixin
from registry.api.viewsets import summed_packages
from registry.models import LoggedModel, LoggedModelMetric
from registry.search.fields import LOGGED_MODELS
from registry.services import experiments, logged_models
from tenants.api.base import ProjectViewSet, RestoreMixin
from tenants.api.fields import Number, RowSerializer, Tags
from tenants.api.filters import LiveFilterSet
from tenants.permissions import Permission

# Of each model; all of them are in the admin and in MLflow's own answers.
METRICS_SHOWN = 100


class LoggedModelMetricSerializer(serializers.Serializer):
    name = serializers.CharField()
    value = Number()
    step = serializers.IntegerField()
    timestamp_ms = serializers.IntegerField()
    run = serializers.UUIDField(source="run_id")
    dataset_name = serializers.CharField()
    dataset_digest = serializers.CharField()


class LoggedModelSerializer(RowSerializer):
    model_id = serializers.CharField(
        read_only=True, help_text="The id as MLflow writes it."
    )
    experiment = serializers.UUIDField(source="experiment_id", read_only=True)
    experiment_iid = serializers.IntegerField(source="experiment.iid", read_only=True)
    source_run = serializers.UUIDField(
        source="source_run_id", read_only=True, allow_null=True
    )
    artifact_uri = serializers.CharField(read_only=True)
    package = PackageSummarySerializer(read_only=True, allow_null=True)
    params = Tags(read_only=True)
    metrics = LoggedModelMetricSerializer(
        source="newest_metrics", many=True, read_only=True
    )
    tags = Tags(read_only=True)

    class Meta:
        model = LoggedModel
        fields = [
            "id",
            "model_id",
            "name",
            "model_type",
            "status",
            "status_message",
            "experiment",
            "experiment_iid",
            "source_run",
            "artifact_uri",
            "package",
            "params",
            "metrics",
            "tags",
            "created_by",
            *STAMPS,
        ]
        read_only_fields = fields


class LoggedModelFilterSet(LiveFilterSet):
    experiment = django_filters.UUIDFilter(field_name="experiment_id")
    source_run = django_filters.UUIDFilter(field_name="source_run_id")
    filter = SearchFilter(LOGGED_MODELS, "metrics.auc > 0.9 AND status = 'READY'")

    class Meta:
        model = LoggedModel
        fields = ["name", "model_type", "status"]


@extend_schema_view(
    list=extend_schema(parameters=[EXPAND]),
    retrieve=extend_schema(parameters=[EXPAND]),
)
class LoggedModelViewSet(ExpandMixin, StrictReadMixin, RestoreMixin, ProjectViewSet):
    """Logged models as runs made them; MLflow's clients are who writes them."""

    queryset = LoggedModel.objects.with_deleted().select_related("experiment")
    serializer_class = LoggedModelSerializer
    filterset_class = LoggedModelFilterSet
    expansions = {
        "package": Prefetch("package", summed_packages()),
        "params": "params",
        "metrics": Prefetch(
            "metrics",
            LoggedModelMetric.objects.order_by("-id")[:METRICS_SHOWN],
            to_attr="newest_metrics",
        ),
        "tags": "tags",
    }
    pagination_class = SearchPagination.of(LOGGED_MODELS, "metrics.auc DESC")
    parameters = {
        "list": frozenset({"expand", "order_by"}),
        "retrieve": frozenset({"expand"}),
    }
    needs = {
        "list": Permission.TRACKING_READ,
        "retrieve": Permission.TRACKING_READ,
        "destroy": Permission.TRACKING_DELETE,
        "restore": Permission.TRACKING_DELETE,
    }

    def perform_destroy(self, model: LoggedModel) -> None:
        logged_models.delete_logged_model(model)

    def restore_parent(self, model: LoggedModel) -> None:
        experiments.restore_experiment(model.experiment)

    def perform_restore(self, model: LoggedModel) -> None:
        logged_models.restore_logged_model(model)

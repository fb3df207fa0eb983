from __future__ import annotations

import json
from typing import Any

import django_filters
from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.api.searching import SearchFilter, SearchPagination
from registry.api.serializers import STAMPS
from registry.models import EvaluationDataset, EvaluationDatasetExperiment
from registry.search.fields import EVALUATION_DATASETS
from registry.services import evaluation_datasets
from tenants.api.base import ProjectViewSet, ReadMixin, RestoreMixin
from tenants.api.fields import RowSerializer, Tags
from tenants.api.filters import LiveFilterSet
from tenants.permissions import Permission


class EvaluationDatasetSerializer(RowSerializer):
    dataset_id = serializers.CharField(
        read_only=True, help_text="The id as MLflow writes it."
    )
    record_count = serializers.SerializerMethodField()
    schema = serializers.SerializerMethodField(
        help_text="The fields of inputs, outputs and expectations, by type."
    )
    experiments = serializers.SerializerMethodField(
        help_text="Numbers of the experiments that it is meant for."
    )
    tags = Tags(read_only=True)

    class Meta:
        model = EvaluationDataset
        fields = [
            "id",
            "dataset_id",
            "name",
            "digest",
            "record_count",
            "schema",
            "experiments",
            "tags",
            "creator_name",
            "updater_name",
            "created_by",
            *STAMPS,
        ]
        read_only_fields = fields

    def get_record_count(self, row: EvaluationDataset) -> int:
        return row.record_count or 0

    @extend_schema_field({"type": "object", "additionalProperties": {}})
    def get_schema(self, row: EvaluationDataset) -> dict[str, Any]:
        return json.loads(row.schema) if row.schema else {}

    def get_experiments(self, row: EvaluationDataset) -> list[int]:
        return [link.experiment.iid for link in row.links.all()]


class EvaluationDatasetFilterSet(LiveFilterSet):
    experiment = django_filters.UUIDFilter(field_name="links__experiment_id")
    filter = SearchFilter(
        EVALUATION_DATASETS, "name LIKE 'support-%' AND tags.team = 'risk'"
    )

    class Meta:
        model = EvaluationDataset
        fields = ["name"]


LINKS = EvaluationDatasetExperiment.objects.select_related("experiment").order_by("id")


class EvaluationDatasetViewSet(ReadMixin, RestoreMixin, ProjectViewSet):
    """Evaluation datasets; MLflow's clients are who writes them."""

    queryset = EvaluationDataset.objects.with_deleted().prefetch_related(
        "tags", Prefetch("links", LINKS)
    )
    serializer_class = EvaluationDatasetSerializer
    filterset_class = EvaluationDatasetFilterSet
    pagination_class = SearchPagination.of(
        EVALUATION_DATASETS, "name, created_time DESC"
    )
    parameters = {"list": frozenset({"order_by"})}
    needs = {
        "list": Permission.TRACKING_READ,
        "retrieve": Permission.TRACKING_READ,
        "destroy": Permission.TRACKING_DELETE,
        "restore": Permission.TRACKING_DELETE,
    }

    def perform_destroy(self, dataset: EvaluationDataset) -> None:
        evaluation_datasets.delete_evaluation_dataset(dataset)

    def perform_restore(self, dataset: EvaluationDataset) -> None:
        evaluation_datasets.restore_evaluation_dataset(dataset)

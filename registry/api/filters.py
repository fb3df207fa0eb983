"""Filters: each is served by an index, or bounded by the project of the address."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet

from registry.api.searching import SearchFilter
from registry.models import (
    Deployment,
    Experiment,
    ModelVersion,
    Package,
    PackageStatus,
    RegisteredModel,
    Run,
)
from registry.search.fields import EXPERIMENTS, MODELS, RUNS, VERSIONS
from tenants.api.filters import IntegerFilter, LiveFilterSet


class ExperimentFilterSet(LiveFilterSet):
    iid = IntegerFilter()
    filter = SearchFilter(EXPERIMENTS, "name LIKE 'tree%' AND tags.team = 'risk'")

    class Meta:
        model = Experiment
        fields = ["name"]


class RunFilterSet(LiveFilterSet):
    iid = IntegerFilter()
    experiment = django_filters.UUIDFilter(field_name="experiment_id")
    filter = SearchFilter(RUNS, "metrics.loss < 0.1 AND params.depth = '3'")

    class Meta:
        model = Run
        fields = ["name", "status"]


class ModelFilterSet(LiveFilterSet):
    filter = SearchFilter(MODELS, "name LIKE 'fraud-%' AND tags.owner = 'ann'")

    class Meta:
        model = RegisteredModel
        fields = ["name"]


class ModelVersionFilterSet(LiveFilterSet):
    model = django_filters.UUIDFilter(field_name="registered_model_id")
    model_name = django_filters.CharFilter(field_name="registered_model__name")
    version = IntegerFilter()
    run = django_filters.UUIDFilter(field_name="run_id")
    filter = SearchFilter(VERSIONS, "name = 'fraud-model' AND version_number > 3")

    class Meta:
        model = ModelVersion
        fields = ["stage", "status"]


class StatusFilter(django_filters.ChoiceFilter):
    """Packages to be found, unless those of another status are asked for."""

    SHOWN = (PackageStatus.DEFAULT, PackageStatus.DEPRECATED, PackageStatus.ERROR)

    def filter(self, qs: QuerySet, value: str | None) -> QuerySet:
        if not value:
            return qs.filter(deleted_at=None, status__in=self.SHOWN)
        return qs.filter(status=value)


class PackageFilterSet(FilterSet):
    # Bounded by the project. An index on parts of names would be taken for equality,
    # too, and make the look-up of runs' packages slow.
    name_contains = django_filters.CharFilter(
        field_name="name", lookup_expr="icontains", min_length=2
    )
    status = StatusFilter(
        choices=PackageStatus.choices,
        label="Left out: all but hidden ones and those under way or deleted.",
    )

    class Meta:
        model = Package
        fields = ["name", "version", "type"]


class OrganizationPackageFilterSet(PackageFilterSet):
    project = django_filters.CharFilter(field_name="project__slug")


class DeploymentFilterSet(LiveFilterSet):
    model_version = django_filters.UUIDFilter(field_name="model_version_id")

    class Meta:
        model = Deployment
        fields = ["name", "environment", "status"]

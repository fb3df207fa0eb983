"""Filters: each is served by an index, or bounded by the project of the address."""

from __future__ import annotations

import django_filters
from django_filters.rest_framework import FilterSet

from registry.models import (
    Deployment,
    Experiment,
    ModelVersion,
    Package,
    RegisteredModel,
    Run,
)
from tenants.api.filters import IntegerFilter, LiveFilterSet


class ExperimentFilterSet(LiveFilterSet):
    iid = IntegerFilter()

    class Meta:
        model = Experiment
        fields = ["name"]


class RunFilterSet(LiveFilterSet):
    iid = IntegerFilter()
    experiment = django_filters.UUIDFilter(field_name="experiment_id")

    class Meta:
        model = Run
        fields = ["name", "status"]


class ModelFilterSet(LiveFilterSet):
    class Meta:
        model = RegisteredModel
        fields = ["name"]


class ModelVersionFilterSet(LiveFilterSet):
    model = django_filters.UUIDFilter(field_name="registered_model_id")
    model_name = django_filters.CharFilter(field_name="registered_model__name")
    version = IntegerFilter()
    run = django_filters.UUIDFilter(field_name="run_id")

    class Meta:
        model = ModelVersion
        fields = ["stage", "status"]


class PackageFilterSet(FilterSet):
    class Meta:
        model = Package
        fields = ["name", "version", "type", "status"]


class DeploymentFilterSet(LiveFilterSet):
    model_version = django_filters.UUIDFilter(field_name="model_version_id")

    class Meta:
        model = Deployment
        fields = ["name", "environment", "status"]

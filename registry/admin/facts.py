"""Rows below a run, experiment, model or package: history, so for reading only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import TextFilter
from unfold.decorators import display

from registry.admin.parts import text
from registry.models import (
    Alias,
    ExperimentTag,
    LatestMetric,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelTag,
    Metric,
    ModelVersionTag,
    Param,
    RegisteredModelTag,
    RunInput,
    RunModel,
    RunTag,
)
from tenants.admin import TenantAdmin
from tenants.admin_lists import CreatedFilter, OrganizationFilter, as_uuid
from tenants.admin_panels import code, link_to, number


class ParentFilter(TextFilter):
    """By the whole id of the parent and its organization, with which indexes begin."""

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if not self.value():
            return queryset
        key = as_uuid(self.value())
        parents = queryset.model._meta.get_field(self.parameter_name).related_model
        parent = parents._default_manager.filter(pk=key).first() if key else None
        if parent is None:
            return queryset.none()
        mine = {f"{self.parameter_name}_id": key}
        return queryset.filter(organization_id=parent.organization_id, **mine)


def by_id_of(parent: str) -> type[ParentFilter]:
    names = {"title": f"{parent.replace('_', ' ')} (id)", "parameter_name": parent}
    return type(f"{parent.title()}Filter", (ParentFilter,), names)


class PartAdmin(TenantAdmin):
    """Base: the row's text, and a link to what it belongs to."""

    parent = ""
    list_display: tuple[str, ...] = ("name_of", "value_of", "belongs_to")

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [by_id_of(self.parent), OrganizationFilter, CreatedFilter]

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        return [self.parent]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [(None, {"fields": [*self.list_display, "key"]})]

    @display(description="Name")
    def name_of(self, row: Any) -> str:
        return row.key if hasattr(row, "key") else row.name

    @display(description="Value")
    def value_of(self, row: Any) -> str:
        return text(row.value)

    @display(description="Belongs to")
    def belongs_to(self, row: Any) -> str:
        return link_to(getattr(row, self.parent))

    @display(description="Id")
    def key(self, row: Any) -> str:
        return code(row.pk)


@admin.register(Metric, LatestMetric)
class MetricAdmin(PartAdmin):
    parent = "run"
    list_display = ("name_of", "value_of", "step", "belongs_to")

    @display(description="Value")
    def value_of(self, row: Metric) -> str:
        return number(row.value)


@admin.register(Param, RunTag)
class RunTextAdmin(PartAdmin):
    parent = "run"


@admin.register(ExperimentTag)
class ExperimentTagAdmin(PartAdmin):
    parent = "experiment"


@admin.register(RegisteredModelTag)
class RegisteredModelTagAdmin(PartAdmin):
    parent = "registered_model"


@admin.register(ModelVersionTag)
class ModelVersionTagAdmin(PartAdmin):
    parent = "model_version"


@admin.register(Alias)
class AliasAdmin(PartAdmin):
    parent = "registered_model"

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        return ["registered_model", "model_version"]

    @display(description="Points at")
    def value_of(self, row: Alias) -> str:
        return link_to(row.model_version)


@admin.register(RunInput)
class RunInputAdmin(PartAdmin):
    parent = "run"

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        return ["run", "dataset"]

    @display(description="Dataset")
    def name_of(self, row: RunInput) -> str:
        return link_to(row.dataset)

    @display(description="Tags")
    def value_of(self, row: RunInput) -> str:
        return ", ".join(f"{tag.get('key')}={tag.get('value')}" for tag in row.tags)


@admin.register(LoggedModelParam, LoggedModelTag)
class LoggedModelTextAdmin(PartAdmin):
    parent = "logged_model"


@admin.register(LoggedModelMetric)
class LoggedModelMetricAdmin(PartAdmin):
    parent = "logged_model"
    list_display = ("name_of", "value_of", "step", "dataset_name", "belongs_to")

    @display(description="Value")
    def value_of(self, row: LoggedModelMetric) -> str:
        return number(row.value)


@admin.register(RunModel)
class RunModelAdmin(PartAdmin):
    parent = "run"
    list_display = ("name_of", "value_of", "step", "belongs_to")

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        return ["run", "logged_model"]

    @display(description="Logged model")
    def name_of(self, row: RunModel) -> str:
        return link_to(row.logged_model)

    @display(description="Role")
    def value_of(self, row: RunModel) -> str:
        return row.get_role_display()

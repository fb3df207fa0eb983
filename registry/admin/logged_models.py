from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from registry.admin.parts import (
    SHOWN,
    StrictList,
    content,
    files_panel,
    params_panel,
    run_badge,
    tags_panel,
    versions_panel,
)
from registry.models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelTag,
    ModelVersion,
    RunModel,
)
from registry.services import logged_models
from tenants.admin import Dated, Restorable, TenantAdmin
from tenants.admin_lists import CreatedFilter, DeletedFilter
from tenants.admin_panels import Panel, badge, code, link_to, number, stack

STATUS_TONES = {"READY": "success", "PENDING": "info", "FAILED": "danger"}


@admin.register(LoggedModel)
class LoggedModelAdmin(StrictList, Restorable, Dated, TenantAdmin):
    """Logged models with their packages: as many queries for any page of any size."""

    list_display = (
        "title",
        "status_badge",
        "of_experiment",
        "of_run",
        "files",
        "created",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("experiment", AutocompleteSelectFilter),
        DeletedFilter,
        CreatedFilter,
    )
    list_select_related = ("organization", "project", "experiment", "source_run")
    search_fields = ("name",)
    search_help_text = "Id or start of the name"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "model_type", "status_badge"),
                    ("of_experiment", "of_run"),
                    ("state", "created", "updated"),
                    ("id_of_clients", "status_message"),
                )
            },
        ),
    )

    delete_service = staticmethod(logged_models.delete_logged_model)
    restore_service = staticmethod(logged_models.restore_logged_model)

    @display(description="Logged model", header=True)
    def title(self, row: LoggedModel) -> list[Any]:
        deleted = "deleted" if row.deleted_at else ""
        return [
            row.name,
            " · ".join(word for word in (row.model_type, deleted) if word),
        ]

    @display(description="Status")
    def status_badge(self, row: LoggedModel) -> str:
        return badge(row.get_status_display(), STATUS_TONES[row.status])

    @display(description="Experiment")
    def of_experiment(self, row: LoggedModel) -> str:
        where = f"{row.organization.slug} / {row.project.slug}"
        return stack(link_to(row.experiment), where)

    @display(description="Run")
    def of_run(self, row: LoggedModel) -> str:
        return link_to(row.source_run)

    @display(description="Package")
    def files(self, row: LoggedModel) -> str:
        return content(row.package)

    @display(description="Model id")
    def id_of_clients(self, row: LoggedModel) -> str:
        return code(row.model_id)

    def panels(self, request: HttpRequest, row: LoggedModel) -> list[Panel]:
        mine = {"organization_id": row.organization_id, "logged_model_id": row.pk}
        versions = ModelVersion.objects.with_deleted().filter(logged_model_id=row.pk)
        return [
            metrics_panel(LoggedModelMetric.objects.filter(**mine)),
            params_panel(LoggedModelParam.objects.filter(**mine)),
            tags_panel(LoggedModelTag.objects.filter(**mine)),
            uses_panel(RunModel.objects.filter(**mine)),
            files_panel(row.package, holder="model"),
            versions_panel(versions, "Registered from this model"),
        ]


def metrics_panel(metrics: QuerySet) -> Panel:
    rows = metrics.select_related("run").order_by("-id")[:SHOWN]
    return Panel(
        "Metrics",
        ("Metric", "Value", "Step", "Dataset", "Run"),
        [
            [row.name, number(row.value), row.step, measured_on(row), link_to(row.run)]
            for row in rows
        ],
    )


def measured_on(row: LoggedModelMetric) -> str:
    return stack(row.dataset_name, row.dataset_digest) if row.dataset_name else ""


def uses_panel(uses: QuerySet) -> Panel:
    rows = uses.select_related("run").order_by("id")[:SHOWN]
    return Panel(
        "Runs",
        ("Run", "Role", "Step", "Status"),
        [
            [link_to(row.run), row.get_role_display(), row.step, run_badge(row.run)]
            for row in rows
        ],
    )

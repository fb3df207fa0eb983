from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from registry.admin.parts import deployment_badge, version_name
from registry.models import Deployment
from registry.services import deployments
from tenants.admin import Dated, Restorable, TenantAdmin
from tenants.admin_lists import CreatedFilter, DeletedFilter
from tenants.admin_panels import NOTHING, Panel, link, links, list_url, muted, when
from tenants.models import Project


@admin.register(Deployment)
class DeploymentAdmin(Restorable, Dated, TenantAdmin):
    list_display = (
        "title",
        "where",
        "status_badge",
        "version",
        "endpoint",
        "alerts",
        "deployed",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        DeletedFilter,
        CreatedFilter,
    )
    list_select_related = (
        "organization",
        "project",
        "model_version__registered_model",
    )
    search_fields = ("name", "environment")
    search_help_text = "Id, or start of the name or environment"
    in_palette = True
    autocomplete_fields = ("project", "model_version")
    editable = (
        "name",
        "environment",
        "status",
        "model_version",
        "endpoint_url",
        "metadata",
    )
    add_form = ModelForm
    add_fieldsets = (
        (
            None,
            {
                "fields": (
                    "project",
                    ("name", "environment"),
                    ("model_version", "status"),
                    "endpoint_url",
                )
            },
        ),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "environment"),
                    ("model_version", "status"),
                    ("project", "endpoint_url"),
                    ("deployed", "retired", "state"),
                    ("created", "updated", "key"),
                )
            },
        ),
        ("Metadata", {"fields": ("metadata",), "classes": ("collapse",)}),
    )
    delete_service = staticmethod(deployments.delete_deployment)
    restore_service = staticmethod(deployments.restore_deployment)
    consequence = "Its points, reports and alerts stay readable."

    def create_row(self, *, project: Project, **values: Any) -> Deployment:
        return deployments.create_deployment(project, **values)

    def change_row(self, row: Deployment, **changes: Any) -> Deployment:
        return deployments.update_deployment(row, **changes)

    def label_of(self, row: Deployment) -> str:
        return f"{row.organization.slug} / {row.project.slug} / {row}"

    @display(description="Deployment", header=True)
    def title(self, row: Deployment) -> list[str]:
        deleted = " · deleted" if row.deleted_at else ""
        return [row.name, f"{row.environment}{deleted}"]

    @display(description="Status")
    def status_badge(self, row: Deployment) -> str:
        return deployment_badge(row)

    @display(description="Model version")
    def version(self, row: Deployment) -> str:
        return version_name(row.model_version)

    @display(description="Endpoint")
    def endpoint(self, row: Deployment) -> str:
        return muted(row.endpoint_url) if row.endpoint_url else NOTHING

    @display(description="Alerts")
    def alerts(self, row: Deployment) -> str:
        return link(list_url("monitoring_alert", deployment__id__exact=row.pk), "Show")

    @display(description="Deployed")
    def deployed(self, row: Deployment) -> str:
        return when(row.deployed_at)

    @display(description="Retired")
    def retired(self, row: Deployment) -> str:
        return when(row.retired_at)

    def panels(self, request: HttpRequest, row: Deployment) -> list[Panel]:
        lists = {
            "Alerts": "monitoring_alert",
            "Alert rules": "monitoring_alertrule",
            "Drift reports": "monitoring_driftreport",
            "Points": "monitoring_monitoringpoint",
        }
        return [links("Monitoring", lists, deployment__id__exact=row.pk)]

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from registry.admin.parts import (
    deployment_badge,
    files_panel,
    stage_badge,
    tags_panel,
    version_line,
    version_name,
)
from registry.admin.purging import Purgeable
from registry.models import (
    Alias,
    Deployment,
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
    Stage,
    VersionStatus,
)
from registry.services import models as model_services
from registry.services import versions as version_services
from tenants.admin import Dated, Restorable, TenantAdmin
from tenants.admin_lists import CreatedFilter, DeletedFilter
from tenants.admin_panels import (
    NOTHING,
    Panel,
    badge,
    badges,
    link,
    link_to,
    list_url,
    when,
)
from tenants.models import Project

STATUS_TONES = {
    VersionStatus.READY: "success",
    VersionStatus.PENDING: "info",
    VersionStatus.FAILED: "danger",
}


@admin.register(RegisteredModel)
class RegisteredModelAdmin(Purgeable, Restorable, Dated, TenantAdmin):
    list_display = (
        "title",
        "where",
        "latest",
        "in_production",
        "aliases",
        "state",
        "created",
    )
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        DeletedFilter,
        CreatedFilter,
    )
    list_select_related = ("organization", "project")
    search_fields = ("name",)
    search_help_text = "Id or start of the name"
    in_palette = True
    autocomplete_fields = ("project",)
    editable = ("name", "description")
    add_form = ModelForm
    add_fieldsets = ((None, {"fields": ("project", "name", "description")}),)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "project"),
                    "description",
                    ("latest", "in_production", "aliases"),
                    ("state", "created", "updated"),
                    "key",
                )
            },
        ),
    )
    delete_service = staticmethod(model_services.delete_model)
    restore_service = staticmethod(model_services.restore_model)
    consequence = "Its versions go with it, and come back with it."

    def create_row(self, *, project: Project, **values: Any) -> RegisteredModel:
        return model_services.create_model(project, **values)

    def change_row(self, row: RegisteredModel, **changes: Any) -> RegisteredModel:
        return model_services.update_model(row, **changes)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        mine = {
            "organization_id": OuterRef("organization_id"),
            "registered_model_id": OuterRef("pk"),
        }
        versions = ModelVersion.objects.filter(**mine).order_by("-version")
        served = versions.filter(stage=Stage.PRODUCTION)
        aliases = Alias.objects.filter(**mine).order_by("name")
        rows = super().get_queryset(request)
        return rows.annotate(
            latest_live=Subquery(versions.values("version")[:1]),
            production=ArraySubquery(served.values("version")[:5]),
            alias_names=ArraySubquery(aliases.values("name")[:5]),
        )

    def label_of(self, row: RegisteredModel) -> str:
        return f"{row.organization.slug} / {row.project.slug} / {row.name}"

    @display(description="Registered model", header=True)
    def title(self, row: RegisteredModel) -> list[str]:
        return [row.name, row.description[:80]]

    @display(description="Latest version")
    def latest(self, row: Any) -> str:
        address = list_url("registry_modelversion", registered_model__id__exact=row.pk)
        return link(address, f"v{row.latest_live}") if row.latest_live else NOTHING

    @display(description="In production")
    def in_production(self, row: Any) -> str:
        return badges((f"v{version}" for version in row.production), "success")

    @display(description="Aliases")
    def aliases(self, row: Any) -> str:
        return badges(row.alias_names, "info")

    def panels(self, request: HttpRequest, row: RegisteredModel) -> list[Panel]:
        mine = {"organization_id": row.organization_id, "registered_model_id": row.pk}
        versions = (
            ModelVersion.objects.with_deleted().filter(**mine).order_by("-version")
        )
        newest = versions.select_related("registered_model")[:20]
        aliases = Alias.objects.filter(**mine).order_by("name")
        named = aliases.select_related("model_version__registered_model")[:50]
        return [
            Panel(
                "Versions",
                ("Version", "Stage", "Status", "Created"),
                [version_line(version) for version in newest],
                link=list_url(
                    "registry_modelversion", registered_model__id__exact=row.pk
                ),
            ),
            Panel(
                "Aliases",
                ("Alias", "Points at", "Moved"),
                [alias_line(alias) for alias in named],
            ),
            tags_panel(RegisteredModelTag.objects.filter(**mine)),
        ]


def alias_line(alias: Alias) -> list[Any]:
    moved = when(alias.updated_at)
    return [badge(alias.name, "info"), version_name(alias.model_version), moved]


@admin.register(ModelVersion)
class ModelVersionAdmin(Restorable, Dated, TenantAdmin):
    list_display = (
        "title",
        "where",
        "stage_badge",
        "status_badge",
        "alias_badges",
        "of_run",
        "created",
    )
    list_filter = (
        ("stage", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("registered_model", AutocompleteSelectFilter),
        DeletedFilter,
        CreatedFilter,
    )
    list_select_related = ("organization", "project", "registered_model", "run")
    search_fields = ("registered_model__name", "version__exact")
    search_help_text = "Id, version number or start of the model's name"
    actions = ("to_production", "to_staging", "archive", "delete_rows", "restore_rows")
    editable = ("description",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("registered_model", "version", "project"),
                    ("stage_badge", "status_badge", "state"),
                    "description",
                    ("run", "logged_model", "package"),
                    "source",
                    ("run_link", "status_message"),
                    ("created", "updated", "key"),
                )
            },
        ),
        ("Metadata", {"fields": ("metadata",), "classes": ("collapse",)}),
    )
    delete_service = staticmethod(version_services.delete_version)
    restore_service = staticmethod(version_services.restore_version)
    consequence = "It loses its aliases; its number is never used again."

    def change_row(self, row: ModelVersion, **changes: Any) -> ModelVersion:
        return version_services.update_version(row, **changes)

    def relations_of(self, rows: Sequence[ModelVersion]) -> list[Any]:
        organizations = {row.organization_id for row in rows}
        aliases = Alias.objects.filter(organization_id__in=organizations)
        return [Prefetch("aliases", aliases.order_by("name"), to_attr="alias_list")]

    def label_of(self, row: ModelVersion) -> str:
        name = f"{row.registered_model.name} v{row.version}"
        return f"{row.organization.slug} / {row.project.slug} / {name}"

    @display(description="Version", header=True)
    def title(self, row: ModelVersion) -> list[str]:
        deleted = " · deleted" if row.deleted_at else ""
        return [row.registered_model.name, f"version {row.version}{deleted}"]

    @display(description="Stage")
    def stage_badge(self, row: ModelVersion) -> str:
        return stage_badge(row)

    @display(description="Status")
    def status_badge(self, row: ModelVersion) -> str:
        return badge(row.get_status_display(), STATUS_TONES[VersionStatus(row.status)])

    @display(description="Aliases")
    def alias_badges(self, row: Any) -> str:
        return badges((alias.name for alias in row.alias_list), "info")

    @display(description="Run")
    def of_run(self, row: ModelVersion) -> str:
        return link_to(row.run)

    @display(description="Move to Production")
    def to_production(self, request: HttpRequest, queryset: QuerySet) -> Any:
        told = "Whatever is in Production of the same model now is archived."
        return self._move(request, queryset, Stage.PRODUCTION, told)

    @display(description="Move to Staging")
    def to_staging(self, request: HttpRequest, queryset: QuerySet) -> Any:
        told = "Whatever is in Staging of the same model now is archived."
        return self._move(request, queryset, Stage.STAGING, told)

    @display(description="Archive")
    def archive(self, request: HttpRequest, queryset: QuerySet) -> Any:
        told = "Clients that ask for a stage no longer get them."
        return self._move(request, queryset, Stage.ARCHIVED, told)

    def _move(
        self, request: HttpRequest, queryset: QuerySet, stage: Stage, told: str
    ) -> Any:
        return self.act(
            request,
            queryset.select_related("registered_model"),
            mover(stage),
            doing=f"Move to {stage.value}:",
            done=f"moved to {stage.value}",
            consequence=told,
        )

    def panels(self, request: HttpRequest, row: ModelVersion) -> list[Panel]:
        mine = {"organization_id": row.organization_id, "model_version_id": row.pk}
        serving = Deployment.objects.with_deleted().filter(**mine).order_by("-id")[:20]
        lines = [
            [link_to(each), deployment_badge(each), when(each.deployed_at)]
            for each in serving
        ]
        panels = [
            Panel("Deployments", ("Deployment", "Status", "Since"), lines),
            tags_panel(ModelVersionTag.objects.filter(**mine)),
        ]
        return [*panels, files_panel(row.package)] if row.package else panels


def mover(stage: Stage) -> Callable[[ModelVersion], ModelVersion]:
    alone = stage in version_services.EXCLUSIVE

    def move(version: ModelVersion) -> ModelVersion:
        return version_services.transition_stage(
            version, stage=stage, archive_existing=alone
        )

    return move

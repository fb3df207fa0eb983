from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from registry.admin.parts import content, files_panel, versions_panel, with_files
from registry.admin.previews import PICKLE
from registry.models import Blob, LoggedModel, ModelVersion, Package, Run
from registry.relations import MODEL_PREFIX, PREFIX
from registry.services import packages
from tenants.admin import Dated, Restorable, TenantAdmin
from tenants.admin_lists import CreatedFilter, DeletedFilter
from tenants.admin_panels import NOTHING, Panel, badge, code, link_to, size, when

TYPE_TONES = {"candidate": "info", "model": "primary"}
STATUS_TONES = {
    "default": "success",
    "processing": "info",
    "error": "danger",
    "deprecated": "warning",
    "pending_destruction": "danger",
}


class ChosenStatus(ModelForm):
    status = forms.ChoiceField(
        choices=[(s, s.label) for s in packages.CHOSEN_STATUSES],
        help_text="Hidden packages are found by those who know them; deprecated ones"
        " are shown as such.",
    )


@admin.register(Package)
class PackageAdmin(Restorable, Dated, TenantAdmin):
    """Packages, of which people change the status and nothing else."""

    list_display = (
        "title",
        "where",
        "type_badge",
        "status_badge",
        "files",
        "state",
        "created",
    )
    list_filter = (
        ("type", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        DeletedFilter,
        CreatedFilter,
    )
    list_select_related = ("organization", "project")
    search_fields = ("name",)
    search_help_text = "Id or start of the name"
    in_palette = True
    editable = ("status",)
    change_form = ChosenStatus
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "version"),
                    ("project", "owner"),
                    ("type_badge", "total", "warning"),
                    ("status", "state", "downloaded"),
                    ("created", "updated"),
                    "key",
                )
            },
        ),
        ("Metadata", {"fields": ("metadata",), "classes": ("collapse",)}),
    )

    delete_service = staticmethod(packages.delete_package)
    restore_service = staticmethod(packages.restore_package)
    consequence = "Nobody finds it any more, until it is restored here or purged."

    def change_row(self, row: Package, **changes: Any) -> Package:
        return packages.update_package(row, **changes)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return with_files(super().get_queryset(request))

    @display(description="Package", header=True)
    def title(self, row: Package) -> list[str]:
        return [row.name, "" if row.version == "-" else row.version]

    @display(description="Type")
    def type_badge(self, row: Package) -> str:
        return badge(row.get_type_display(), TYPE_TONES.get(row.type, ""))

    @display(description="Status")
    def status_badge(self, row: Package) -> str:
        return badge(row.get_status_display(), STATUS_TONES.get(row.status, ""))

    @display(description="Files")
    def files(self, row: Any) -> str:
        return content(row)

    @display(description="Content")
    def total(self, row: Any) -> str:
        return f"{row.file_count or 0:,} files, {size(row.total_bytes or 0)}"

    @display(description="Last download")
    def downloaded(self, row: Package) -> str:
        return when(row.last_downloaded_at)

    @display(description="Warning")
    def warning(self, row: Any) -> str:
        return PICKLE if row.has_pickle else NOTHING

    @display(description="Belongs to")
    def owner(self, row: Package) -> str:
        return link_to(run_of(row) or logged_model_of(row))

    def panels(self, request: HttpRequest, row: Package) -> list[Panel]:
        versions = ModelVersion.objects.with_deleted().filter(
            organization_id=row.organization_id,
            project_id=row.project_id,
            package_id=row.pk,
        )
        return [files_panel(row), versions_panel(versions, "Model versions")]


def run_of(package: Package) -> Run | None:
    """The other direction of the virtual foreign key."""
    number = package.name.removeprefix(PREFIX)
    if number == package.name or not number.isdecimal():
        return None
    return (
        Run.objects.with_deleted()
        .filter(
            organization_id=package.organization_id,
            project_id=package.project_id,
            iid=int(number),
        )
        .first()
    )


def logged_model_of(package: Package) -> LoggedModel | None:
    digits = package.name.removeprefix(MODEL_PREFIX)
    if digits == package.name:
        return None
    return (
        LoggedModel.objects.with_deleted()
        .filter(
            organization_id=package.organization_id,
            project_id=package.project_id,
            pk=UUID(digits),
        )
        .first()
    )


@admin.register(Blob)
class BlobAdmin(Dated, TenantAdmin):
    list_display = ("digest", "of_organization", "bytes", "created")
    list_filter = (("organization", AutocompleteSelectFilter), CreatedFilter)
    list_select_related = ("organization",)
    search_fields = ("sha256",)
    fieldsets = (
        (None, {"fields": ("digest", ("of_organization", "bytes", "created"))}),
    )

    @display(description="SHA-256")
    def digest(self, row: Blob) -> str:
        return code(row.sha256)

    @display(description="Size")
    def bytes(self, row: Blob) -> str:
        return size(row.size_bytes)

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from registry.models import PackageProtectionRule, StorageUsage
from registry.services import protection
from registry.services.storage_usage import limit
from tenants.admin import Dated, TenantAdmin
from tenants.admin_panels import NOTHING, badge, code, size
from tenants.models import Project

OF_PROJECT = (
    ("organization", AutocompleteSelectFilter),
    ("project", AutocompleteSelectFilter),
)


@admin.register(PackageProtectionRule)
class ProtectionRuleAdmin(Dated, TenantAdmin):
    list_display = ("pattern", "where", "kind", "push", "delete_by", "created")
    list_filter = OF_PROJECT
    list_select_related = ("organization", "project")
    search_fields = ("name_pattern",)
    search_help_text = "Id, or start of the pattern"
    autocomplete_fields = ("project",)
    actions = ("delete_rules",)
    editable = ("name_pattern", "package_type", "push_role", "delete_role")
    add_form = ModelForm
    add_fieldsets = (
        (
            None,
            {
                "fields": (
                    "project",
                    ("name_pattern", "package_type"),
                    ("push_role", "delete_role"),
                )
            },
        ),
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name_pattern", "package_type"),
                    ("push_role", "delete_role"),
                    ("where", "created", "updated"),
                    "key",
                )
            },
        ),
    )

    def create_row(self, *, project: Project, **values: Any) -> PackageProtectionRule:
        return protection.create_rule(project, **values)

    def change_row(
        self, row: PackageProtectionRule, **changes: Any
    ) -> PackageProtectionRule:
        return protection.update_rule(row, **changes)

    @display(description="Packages")
    def pattern(self, row: PackageProtectionRule) -> str:
        return code(row.name_pattern)

    @display(description="Type")
    def kind(self, row: PackageProtectionRule) -> str:
        return row.get_package_type_display() or "every"

    @display(description="Push")
    def push(self, row: PackageProtectionRule) -> str:
        return badge(row.get_push_role_display(), "info") if row.push_role else NOTHING

    @display(description="Delete")
    def delete_by(self, row: PackageProtectionRule) -> str:
        return (
            badge(row.get_delete_role_display(), "info") if row.delete_role else NOTHING
        )

    @display(description="Delete selected")
    def delete_rules(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(
            request,
            queryset,
            protection.delete_rule,
            doing="Delete",
            done="deleted",
            consequence="Whoever may upload or delete otherwise may do so here again.",
        )


@admin.register(StorageUsage)
class StorageUsageAdmin(Dated, TenantAdmin):
    """What triggers have counted; `recount_storage` proves it."""

    list_display = ("where", "bytes", "files", "of_bytes", "of_files", "updated")
    list_filter = OF_PROJECT
    list_select_related = ("organization", "project")
    ordering = ("-id",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("where", "updated"),
                    ("bytes", "of_bytes"),
                    ("files", "of_files"),
                    "key",
                )
            },
        ),
    )

    @display(description="Size")
    def bytes(self, row: StorageUsage) -> str:
        return size(row.size_bytes)

    @display(description="Files")
    def files(self, row: StorageUsage) -> str:
        return f"{row.file_count:,}"

    @display(description="Of bytes")
    def of_bytes(self, row: StorageUsage) -> str:
        return size(limit(row.project.storage_limit_bytes, "project_bytes"))

    @display(description="Of files")
    def of_files(self, row: StorageUsage) -> str:
        most = limit(row.project.storage_limit_files, "project_files")
        return NOTHING if most is None else f"{most:,}"

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from registry.models import Package, RetentionEffect, RetentionRule
from registry.services import retention
from tenants.admin import Dated, TenantAdmin
from tenants.admin_panels import Panel, badge, link_to, when
from tenants.models import Project

SHOWN = 20


@admin.register(RetentionRule)
class RetentionRuleAdmin(Dated, TenantAdmin):
    list_display = ("title", "where", "effect_badge", "means", "bounds", "updated")
    list_filter = (
        ("effect", ChoicesDropdownFilter),
        "is_enabled",
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
    )
    list_select_related = ("organization", "project")
    search_fields = ("name",)
    search_help_text = "Id or start of the name"
    autocomplete_fields = ("project",)
    editable = retention.FIELDS
    add_form = ModelForm
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "project",
                    ("name", "effect", "is_enabled"),
                    ("name_pattern", "package_type", "package_status"),
                    ("tag_key", "tag_value"),
                    ("older_than_days", "keep_newest", "counting"),
                )
            },
        ),
    )
    actions = ("delete_rules",)

    def create_row(self, *, project: Project, **values: Any) -> RetentionRule:
        return retention.create_rule(project, **values)

    def change_row(self, row: RetentionRule, **changes: Any) -> RetentionRule:
        return retention.update_rule(row, **changes)

    @display(description="Rule", header=True)
    def title(self, row: RetentionRule) -> list[str]:
        return [row.name, "" if row.is_enabled else "disabled"]

    @display(description="Effect")
    def effect_badge(self, row: RetentionRule) -> str:
        keeps = row.effect == RetentionEffect.KEEP
        return badge(row.get_effect_display(), "success" if keeps else "warning")

    @display(description="Packages")
    def means(self, row: RetentionRule) -> str:
        tag = f"{row.tag_key}={row.tag_value or '*'}" if row.tag_key else ""
        words = (row.name_pattern, row.package_type, row.package_status, tag)
        return " · ".join(word for word in words if word)

    @display(description="Which of them")
    def bounds(self, row: RetentionRule) -> str:
        older, newest = row.older_than_days, row.keep_newest
        words = [f"older than {older} days"] if older is not None else []
        words += [f"all but the newest {newest}"] if newest is not None else []
        return ", ".join(words) or "all of them"

    def panels(self, request: HttpRequest, row: RetentionRule) -> list[Panel]:
        """What the next run will mark, so that nobody is surprised by it."""
        doomed = retention.doomed_by(row).order_by("pk")[:SHOWN]
        return [
            Panel(
                "Goes with the next run",
                ("Package", "Version", "Created"),
                [package_line(package) for package in doomed],
                empty="Nothing, as things are.",
                note=f"at most {SHOWN} are shown",
            )
        ]

    @display(description="Delete selected")
    def delete_rules(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(
            request,
            queryset,
            retention.delete_rule,
            doing="Delete",
            done="deleted",
            consequence="Packages that it has marked already go nevertheless.",
        )


def package_line(package: Package) -> list[Any]:
    return [
        link_to(package, package.name),
        package.version,
        when(package.created_at),
    ]

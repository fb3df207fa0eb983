from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from registry.models import MultipartUpload, UploadPart
from tenants.admin import Dated, TenantAdmin
from tenants.admin_lists import CreatedFilter
from tenants.admin_panels import badge, code, size, when


@admin.register(MultipartUpload)
class MultipartUploadAdmin(Dated, TenantAdmin):
    """What is on its way, and since when; only clients and the sweep change it."""

    list_display = ("title", "where", "progress", "state", "created")
    list_filter = (
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        CreatedFilter,
    )
    list_select_related = ("organization", "project")
    search_fields = ("location",)
    search_help_text = "Id or start of the path"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("title", "project"),
                    ("progress", "state"),
                    ("created", "completed"),
                    "key",
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        parts = UploadPart.objects.filter(
            organization_id=OuterRef("organization_id"), upload_id=OuterRef("pk")
        )
        together = parts.order_by().values("upload_id")
        return (
            super()
            .get_queryset(request)
            .annotate(
                arrived=Subquery(together.annotate(n=Count("pk")).values("n")),
                arrived_bytes=Subquery(
                    together.annotate(n=Sum("size_bytes")).values("n")
                ),
            )
        )

    @display(description="File")
    def title(self, row: MultipartUpload) -> str:
        return code(row.location)

    @display(description="Parts")
    def progress(self, row: Any) -> str:
        if row.reference:
            return f"{row.part_count:,} in the bucket"
        arrived = f"{row.arrived or 0:,} of {row.part_count:,}"
        return f"{arrived}, {size(row.arrived_bytes or 0)}"

    @display(description="State")
    def state(self, row: MultipartUpload) -> str:
        return (
            badge("Completed", "success") if row.completed_at else badge("Open", "info")
        )

    @display(description="Completed")
    def completed(self, row: MultipartUpload) -> str:
        return when(row.completed_at)

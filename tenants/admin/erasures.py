from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from tenants.admin.base import TenantAdmin
from tenants.admin_panels import code, when
from tenants.models import Erasure


@admin.register(Erasure)
class ErasureAdmin(TenantAdmin):
    """Who was erased, by id; read-only."""

    list_display = ("person", "asked", "finished")
    ordering = ("-id",)
    search_fields = ()
    fieldsets = ((None, {"fields": ("person", ("asked", "finished"))}),)

    @display(description="Id of the person")
    def person(self, row: Erasure) -> str:
        return code(row.user_id)

    @display(description="Asked")
    def asked(self, row: Erasure) -> str:
        return when(row.asked_at)

    @display(description="Finished")
    def finished(self, row: Erasure) -> str:
        return when(row.finished_at)

"""Archived months for reading, and whether their records are to be believed."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from audit.archives import Month, is_signed
from audit.keys import trusted_keys
from audit.models import Archive
from audit.sql.archives import Record
from tenants.admin import TenantAdmin
from tenants.admin_panels import badge, code, size, when

COLUMNS = Record._fields


@admin.register(Archive)
class ArchiveAdmin(TenantAdmin):
    """The command and the job alone add archives, and nobody changes them."""

    list_display = ("of_month", "entries", "packed", "location", "at")
    ordering = ("-month", "-id")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("of_month", "entries", "packed", "at"),
                    "location",
                    "digest",
                    "digest_of_manifest",
                    ("key", "signed"),
                )
            },
        ),
    )

    @display(description="Month")
    def of_month(self, row: Archive) -> str:
        return str(Month.beginning(row.month))

    @display(description="Size")
    def packed(self, row: Archive) -> str:
        return size(row.size_bytes)

    @display(description="Archived")
    def at(self, row: Archive) -> str:
        return when(row.archived_at)

    @display(description="SHA-256 of the entries")
    def digest(self, row: Archive) -> str:
        return code(row.sha256)

    @display(description="SHA-256 of the manifest")
    def digest_of_manifest(self, row: Archive) -> str:
        return code(row.manifest_sha256)

    @display(description="Key")
    def key(self, row: Archive) -> str:
        return code(row.key_id)

    @display(description="Record")
    def signed(self, row: Archive) -> str:
        """Of the record alone; `archive_audit --verify` reads the files."""
        if is_signed(record_of(row), trusted_keys()):
            return badge("signed", "success")
        return badge("not signed by a trusted key", "danger")


def record_of(row: Archive) -> Record:
    values = {name: getattr(row, name) for name in COLUMNS}
    return Record(**{**values, "signature": bytes(row.signature)})

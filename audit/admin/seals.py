"""Seals and anchors for reading, and whether an entry is sealed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from audit import keys
from audit.models import Anchor, AuditLog, Seal
from audit.sql import verifying
from tenants.admin import TenantAdmin
from tenants.admin_lists import ExactTextFilter, OrganizationFilter
from tenants.admin_panels import (
    NOTHING,
    Panel,
    badge,
    code,
    link_to,
    list_url,
    short_id,
    when,
)
from tenants.context import bound_alias

HEX_SHOWN = 16


class NumberFilter(ExactTextFilter):
    """A seal of each chain, by its number."""

    title = "number"
    parameter_name = column = "n"

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        words = self.value()
        if not words:
            return queryset
        return queryset.filter(n=int(words)) if words.isdecimal() else queryset.none()


@admin.register(Seal)
class SealAdmin(TenantAdmin):
    """Nobody changes a seal; the sealer alone adds them."""

    list_display = ("number", "chain", "at", "count", "strangers", "key", "digest")
    list_filter = (OrganizationFilter, NumberFilter)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("number", "chain", "moment"),
                    ("count", "strangers", "key"),
                    ("whole_digest", "previous"),
                    ("root_code", "signature_code"),
                    ("first", "last"),
                    ("xid_from", "xid_to", "xid_next"),
                    ("epoch", "cluster", "version"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Without the leaves, which are by far the most of it."""
        return super().get_queryset(request).defer("leaves")

    @display(description="Seal")
    def number(self, row: Seal) -> str:
        return str(row)

    @display(description="Chain")
    def chain(self, row: Seal) -> str:
        return short_id(row.organization_id) if row.organization_id else "instance"

    @display(description="Sealed")
    def at(self, row: Seal) -> str:
        return when(row.sealed_at)

    @display(description="Sealed")
    def moment(self, row: Seal) -> str:
        return f"{row.sealed_at:%Y-%m-%d %H:%M:%S.%f} UTC"

    @display(description="Unattributed")
    def strangers(self, row: Seal) -> str:
        return badge(str(row.unattributed), "danger") if row.unattributed else NOTHING

    @display(description="Key")
    def key(self, row: Seal) -> str:
        is_trusted = row.key_id in keys.trusted_keys()
        return code(row.key_id) if is_trusted else badge("not trusted", "danger")

    @display(description="Hash")
    def digest(self, row: Seal) -> str:
        return code(bytes(row.hash).hex()[:HEX_SHOWN])

    @display(description="Hash")
    def whole_digest(self, row: Seal) -> str:
        return code(bytes(row.hash).hex())

    @display(description="Hash of the seal before")
    def previous(self, row: Seal) -> str:
        return code(bytes(row.prev_hash).hex())

    @display(description="Merkle root")
    def root_code(self, row: Seal) -> str:
        return code(bytes(row.root).hex())

    @display(description="Signature")
    def signature_code(self, row: Seal) -> str:
        return code(bytes(row.signature).hex())

    @display(description="First entry")
    def first(self, row: Seal) -> str:
        return code(row.first_id or NOTHING)

    @display(description="Last entry")
    def last(self, row: Seal) -> str:
        return code(row.last_id or NOTHING)


@admin.register(Anchor)
class AnchorAdmin(TenantAdmin):
    """What was told to the outside; of all organizations, so for superusers only."""

    list_display = ("at", "place", "chains")
    fieldsets = ((None, {"fields": (("at", "place", "chains"), "text")}),)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(getattr(request.user, "is_superuser", False))

    def has_view_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return self.has_module_permission(request)

    @display(description="Anchored")
    def at(self, row: Anchor) -> str:
        return when(row.anchored_at)

    @display(description="Line")
    def text(self, row: Anchor) -> str:
        return code(row.line)


def sealed_panel(entry: AuditLog) -> Panel:
    """By which seal the entry is covered, and how that is proved."""
    seal = seal_of(entry)
    rows: list[list[Any]] = []
    if seal is not None:
        digest = code(bytes(seal.hash).hex()[:HEX_SHOWN])
        rows = [[link_to(seal), when(seal.sealed_at), digest, code(seal.key_id)]]
    return Panel(
        "Sealed by",
        ("Seal", "Sealed", "Hash", "Key"),
        rows,
        link=list_url("audit_seal", organization=entry.organization_id or "none"),
        empty="It is in no seal yet; it will be within seconds.",
        note=f"manage.py prove_audit_entry {entry.pk} --json proves it to others."
        if seal
        else "",
    )


def seal_of(entry: AuditLog) -> Seal | None:
    connection = connections[bound_alias() or DEFAULT_DB_ALIAS]
    organization = entry.organization_id
    if verifying.is_pending(connection, organization, entry.pk, entry.transaction_id):
        return None
    found = verifying.seal_of(connection, organization, entry.pk)
    if found is None:
        return None
    rows = Seal.objects.defer("leaves")
    return rows.filter(organization_id=organization, n=found[0].values.n).first()

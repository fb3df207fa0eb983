"""What the trail has to say on the first page of the admin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from audit.admin.entries import entry_link
from audit.admin.filters import among_newest
from audit.admin.history import name_all
from audit.models import AuditLog, Seal
from mlops.db.uuid7 import floor
from tenants.admin_panels import Overview, Panel, Tile, link_to, list_url, stack, when

# The page itself would fill its panel with looks at it.
LOOKS = "admin.viewed"
NEWEST = 500
DAY = timedelta(hours=24)


def overview() -> Overview:
    window = AuditLog.objects.order_by("-id").values("pk")[:NEWEST]
    changes = AuditLog.objects.filter(pk__in=window).exclude(action=LOOKS)
    newest: list[Any] = list(changes.order_by("-id")[:8])
    name_all(newest)
    lines = [
        [
            stack(entry_link(e), e.object_label or e.object_type),
            link_to(e.actor_row) if e.actor_row else e.actor_label or e.actor_kind,
            when(e.created_at),
        ]
        for e in newest
    ]
    latest = Panel(
        "Latest audit entries",
        ("Action", "Actor", "When"),
        lines,
        link=list_url("audit_auditlog"),
        rank=4,
    )
    return Overview(tiles=[unattributed_tile()], panels=[latest])


def unattributed_tile() -> Tile:
    count = unattributed_since(timezone.now() - DAY)
    address = list_url(
        "audit_auditlog", age="24", actor_kind="system", actor_label="unattributed"
    )
    return Tile(
        "Unattributed changes",
        f"{count:,}",
        address,
        "person_alert",
        hint="in the last 24 hours, past everything that says who acts",
        tone="danger" if count else "",
    )


def unattributed_since(moment: datetime) -> int:
    """Count by the seals, and among the newest entries, which may not be sealed yet."""
    sealed = Seal._base_manager.filter(id__gte=floor(moment))
    counted = sealed.aggregate(count=Sum("unattributed"))["count"] or 0
    recent = AuditLog.objects.since(moment)
    return max(counted, among_newest(recent).unattributed().count())

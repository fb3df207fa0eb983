"""Letting time pass for what was deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import F

from tenants.models import SoftDeleted

SOME_DAYS = timedelta(days=400)


def let_pass(*models: type[SoftDeleted], time: timedelta = SOME_DAYS) -> None:
    """Let all that is deleted have been deleted so long ago."""
    for model in models:
        rows: Any = model._base_manager.filter(deleted_at__isnull=False)
        rows.update(
            deleted_at=F("deleted_at") - time, purge_after=F("purge_after") - time
        )

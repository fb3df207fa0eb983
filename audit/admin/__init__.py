"""The browser admin of the trail."""

from __future__ import annotations

from audit.admin import archives, entries, seals
from audit.admin.overview import overview

__all__ = ["archives", "entries", "overview", "seals"]

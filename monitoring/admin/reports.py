from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from monitoring.admin.parts import REPORT_TONES, VERDICTS, Watching
from monitoring.models import DriftReport
from tenants.admin import TenantAdmin
from tenants.admin_lists import (
    CreatedFilter,
)
from tenants.admin_panels import (
    NOTHING,
    Panel,
    badge,
    number,
    span,
)


@admin.register(DriftReport)
class DriftReportAdmin(Watching, TenantAdmin):
    list_display = (
        "period",
        "verdict",
        "status_badge",
        "serving",
        "where",
        "coverage",
        "created",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("drifted", BooleanRadioFilter),
        ("organization", AutocompleteSelectFilter),
        ("project", AutocompleteSelectFilter),
        ("deployment", AutocompleteSelectFilter),
        CreatedFilter,
    )
    list_select_related = ("organization", "project", "deployment")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("verdict", "status_badge", "coverage"),
                    ("period_start", "period_end", "segment"),
                    ("deployment", "project", "revision"),
                    "error",
                    ("created", "updated", "key"),
                )
            },
        ),
        ("Result", {"fields": ("result",), "classes": ("collapse",)}),
    )

    @display(description="Period (UTC)", header=True)
    def period(self, row: DriftReport) -> list[str]:
        length = (row.period_end - row.period_start).total_seconds()
        return [f"{row.period_start:%Y-%m-%d %H:%M}", f"{span(length)} long"]

    @display(description="Verdict")
    def verdict(self, row: DriftReport) -> str:
        return badge(*VERDICTS[row.drifted])

    @display(description="Status")
    def status_badge(self, row: DriftReport) -> str:
        return badge(row.get_status_display(), REPORT_TONES[row.status])

    @display(description="Labels known")
    def coverage(self, row: DriftReport) -> str:
        return NOTHING if row.label_coverage is None else f"{row.label_coverage:.0%}"

    def panels(self, request: HttpRequest, row: DriftReport) -> list[Panel]:
        features = row.result.get("features")
        return [features_panel(features)] if features else []


def features_panel(features: Any) -> Panel:
    """A row per feature with whatever numbers and words its verdict holds."""
    if isinstance(features, dict):
        features = [{"feature": name, **found} for name, found in features.items()]
    named = dict.fromkeys(k for f in features for k in f if is_plain(f[k]))
    # The database keeps no order of keys: what it is comes first, then what is decided.
    columns = sorted(named, key=lambda column: (rank_of(column), column))
    lines = [[shown(feature.get(column)) for column in columns] for feature in features]
    titles = [column.replace("_", " ").capitalize() for column in columns]
    return Panel("Features", titles, lines[:500], wide=True)


FIRST = ("feature", "name", "drifted", "verdict")


def rank_of(column: str) -> int:
    return FIRST.index(column) if column in FIRST else len(FIRST)


def is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list)


def shown(value: Any) -> Any:
    if isinstance(value, bool):
        return badge("yes", "danger") if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return NOTHING if value in (None, "") else value

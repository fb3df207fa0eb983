from __future__ import annotations

from collections import Counter
from typing import Any

from monitoring.admin.parts import VERDICTS, alert_line, deployed
from monitoring.models import Alert, AlertStatus, DriftReport
from tenants.admin_panels import (
    Overview,
    Panel,
    Tile,
    badge,
    link_to,
    list_url,
    stack,
    when,
)

SHOWN_OPEN = 500
RANKS = ["critical", "warning", "info"]


def overview() -> Overview:
    """What is wrong right now: open alerts, worst first, and the newest verdicts."""
    opened = list(
        Alert.objects.open()
        .select_related("rule", "deployment", "organization")
        .order_by("-triggered_at")[:SHOWN_OPEN]
    )
    severities = Counter(alert.severity for alert in opened)
    return Overview(
        tiles=[alerts_tile(severities)],
        panels=[alerts_panel(opened), reports_panel()],
    )


def alerts_tile(severities: Counter[str]) -> Tile:
    total = sum(severities.values())
    words = [f"{severities[s]} {s}" for s in RANKS if severities[s]]
    return Tile(
        "Open alerts",
        f"{total}+" if total == SHOWN_OPEN else str(total),
        list_url("monitoring_alert", status__exact="active"),
        "notifications_active",
        hint=", ".join(words) if total else "All quiet",
        tone="danger" if severities["critical"] else "",
    )


def alerts_panel(opened: list[Alert]) -> Panel:
    worst = sorted(opened, key=lambda alert: RANKS.index(alert.severity))[:9]
    return Panel(
        "Open alerts",
        ("Severity", "Alert", "Triggered"),
        [open_line(alert) for alert in worst],
        link=list_url("monitoring_alert"),
        empty="Nothing is wrong.",
        rank=2,
    )


def open_line(alert: Alert) -> list[Any]:
    name, severity, _, triggered = alert_line(alert)
    words = [alert.organization.slug, alert.rule.name]
    if alert.status == AlertStatus.ACKNOWLEDGED:
        words.insert(0, "acknowledged")
    return [severity, stack(name, " · ".join(words)), triggered]


def reports_panel() -> Panel:
    newest = DriftReport.objects.select_related("deployment").order_by("-id")[:6]
    return Panel(
        "Drift reports",
        ("Deployment", "Period", "Verdict", "Made"),
        [
            [
                deployed(report.deployment),
                link_to(report, f"{report.period_start:%Y-%m-%d %H:%M}"),
                badge(*VERDICTS[report.drifted]),
                when(report.created_at),
            ]
            for report in newest
        ],
        link=list_url("monitoring_driftreport"),
        wide=True,
        rank=5,
    )

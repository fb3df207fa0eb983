"""What the admins of monitoring share: columns, badges, lines of tables."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from unfold.decorators import display

from monitoring.models import Alert, AlertRule
from registry.models import Deployment
from tenants.admin import Dated
from tenants.admin_panels import (
    NOTHING,
    badge,
    link_to,
    stack,
    when,
)

SEVERITY_TONES = {"critical": "danger", "warning": "warning", "info": "info"}
ALERT_TONES = {"active": "danger", "acknowledged": "warning", "resolved": "success"}
REPORT_TONES = {"done": "success", "failed": "danger", "running": "info", "pending": ""}
VERDICTS = {
    True: ("drift", "danger"),
    False: ("no drift", "success"),
    None: ("undecided", ""),
}
OPEN = Q(status__in=("active", "acknowledged"))


class Watching(Dated):
    """Columns of rows that belong to a deployment."""

    @display(description="Deployment")
    def serving(self, row: Any) -> str:
        return deployed(row.deployment)


def deployed(deployment: Deployment | None) -> str:
    if deployment is None:
        return NOTHING
    return stack(link_to(deployment, deployment.name), deployment.environment)


def alert_line(alert: Alert) -> list[Any]:
    triggered = when(alert.triggered_at)
    return [link_to(alert), severity_badge(alert), status_badge(alert), triggered]


def severity_badge(row: Alert | AlertRule) -> str:
    return badge(row.get_severity_display(), SEVERITY_TONES[row.severity])


def status_badge(row: Alert) -> str:
    return badge(row.get_status_display(), ALERT_TONES[row.status])

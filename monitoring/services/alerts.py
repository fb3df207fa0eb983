"""Alerts: what people do to them. A row changes in a transition and never else."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.utils import timezone

from mlops.errors import InvalidState
from monitoring.models import Alert, AlertRule, AlertStatus
from monitoring.querysets import AlertQuerySet
from tenants.context import acting


def acknowledge_alert(alert: Alert) -> Alert:
    """Say that somebody looks after it; twice changes nothing.

    Raises InvalidState when it is resolved, also by an evaluation just now.
    """
    _move(
        Alert.objects.filter(pk=alert.pk, status=AlertStatus.ACTIVE),
        status=AlertStatus.ACKNOWLEDGED,
        acknowledged_at=timezone.now(),
        acknowledged_by=acting().id,
    )
    alert.refresh_from_db()
    if alert.status == AlertStatus.RESOLVED:
        raise InvalidState("The alert is resolved already.")
    return alert


def resolve_alert(alert: Alert, *, resolution: str = "") -> Alert:
    """Close it; twice changes nothing. The breach opens a new one if it holds on."""
    rows = Alert.objects.filter(pk=alert.pk).open()
    resolve_alerts(rows, resolution=resolution)
    alert.refresh_from_db()
    return alert


def resolve_alerts_of(rule: AlertRule, *, resolution: str) -> int:
    return resolve_alerts(Alert.objects.filter(rule=rule).open(), resolution=resolution)


def resolve_alerts(rows: AlertQuerySet, *, resolution: str) -> int:
    return _move(
        rows,
        status=AlertStatus.RESOLVED,
        resolved_at=timezone.now(),
        resolution=resolution,
    )


def _move(rows: AlertQuerySet, **changes: Any) -> int:
    """Claim by the update itself: of two who move one row, one counts 0."""
    return rows.update(
        transition_seq=F("transition_seq") + 1, updated_at=timezone.now(), **changes
    )

from monitoring.models.alerts import (
    Alert,
    AlertRule,
    AlertStatus,
    Operator,
    RuleKind,
    Severity,
)
from monitoring.models.points import MonitoringPoint
from monitoring.models.reports import DriftReport, ReportStatus

__all__ = [
    "Alert",
    "AlertRule",
    "AlertStatus",
    "DriftReport",
    "MonitoringPoint",
    "Operator",
    "ReportStatus",
    "RuleKind",
    "Severity",
]

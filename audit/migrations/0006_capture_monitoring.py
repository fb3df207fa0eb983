"""Capture what monitoring is told and finds; points by the batch."""

from django.db import migrations

from audit.operations import CaptureBatches, CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0005_capture_registry"),
        ("monitoring", "0003_points"),
    ]

    operations = [
        CaptureRows("monitoring.AlertRule"),
        CaptureRows("monitoring.Alert"),
        CaptureRows("monitoring.DriftReport"),
        CaptureBatches(
            "monitoring.MonitoringPoint",
            by="deployment",
            names="metric_name",
            span="recorded_at",
        ),
    ]

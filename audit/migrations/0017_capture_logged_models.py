"""Capture logged models: they and their tags by row, what runs log to them by batch."""

from django.db import migrations

from audit.operations import CaptureBatches, CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0012_capture_single_sign_on"),
        ("registry", "0014_logged_models"),
    ]

    operations = [
        CaptureRows("registry.LoggedModel"),
        CaptureRows("registry.LoggedModelTag"),
        CaptureBatches(
            "registry.LoggedModelParam",
            by="logged_model",
            names="key",
            digest=["logged_model", "key", "value"],
        ),
        CaptureBatches(
            "registry.LoggedModelMetric", by="logged_model", names="name", span="step"
        ),
        CaptureBatches(
            "registry.RunModel",
            by="run",
            names="logged_model",
            digest=["run", "role", "logged_model", "step"],
        ),
    ]

"""Capture retention rules: who lets packages go by themselves."""

from django.db import migrations

from audit.operations import CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0018_capture_uploads"),
        ("registry", "0017_retention"),
    ]

    operations = [CaptureRows("registry.RetentionRule")]

"""Capture uploads in parts: who began one, and that it ended."""

from django.db import migrations

from audit.operations import CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0016_capture_package_registry"),
        ("registry", "0016_multipart_uploads"),
    ]

    operations = [CaptureRows("registry.MultipartUpload", redact=["reference"])]

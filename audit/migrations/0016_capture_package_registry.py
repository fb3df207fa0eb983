"""Capture protection rules; downloads are noted on packages, and are no change."""

from django.db import migrations

from audit.operations import CaptureRows, Rows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0017_capture_logged_models"),
        ("registry", "0013_protect_package_registry"),
    ]

    operations = [
        CaptureRows("registry.PackageProtectionRule"),
        CaptureRows(
            "registry.Package", ignore=["last_downloaded_at"], instead_of=Rows()
        ),
    ]

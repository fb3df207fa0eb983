"""Capture invitations: who asked whom to join, and what became of it."""

from django.db import migrations

from audit.operations import CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0006_capture_monitoring"),
        ("tenants", "0007_invitations"),
    ]

    operations = [
        CaptureRows(
            "tenants.Invitation",
            redact=["shown_digest", "mailed_digest"],
            personal=["email"],
        ),
    ]

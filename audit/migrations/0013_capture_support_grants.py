"""Capture support grants: who of the staff asked to enter, why, and who let them."""

from django.db import migrations

from audit.operations import CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0015_capture_accounts"),
        ("tenants", "0009_support_grants"),
    ]

    operations = [CaptureRows("tenants.SupportGrant")]

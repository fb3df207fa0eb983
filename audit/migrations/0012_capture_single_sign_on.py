"""Capture single sign-on, and which account of a provider leads to which person."""

from django.db import migrations

from audit.operations import CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0013_capture_support_grants"),
        ("tenants", "0008_single_sign_on"),
    ]

    operations = [
        CaptureRows("tenants.SingleSignOn"),
        CaptureRows(
            "socialaccount.SocialAccount",
            personal=["extra_data"],
            ignore=["last_login"],
        ),
    ]

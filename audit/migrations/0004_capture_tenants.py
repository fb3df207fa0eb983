"""Capture accounts, organizations, projects, members and tokens."""

from django.db import migrations

from audit.operations import CaptureRows


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0003_functions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("tenants", "0004_admit"),
    ]

    operations = [
        CaptureRows("auth.Group"),
        CaptureRows("auth.Group_permissions"),
        CaptureRows(
            "tenants.User",
            redact=["password"],
            personal=["username", "first_name", "last_name", "email"],
            ignore=["last_login"],
        ),
        CaptureRows("tenants.User_groups"),
        CaptureRows("tenants.User_user_permissions"),
        CaptureRows("tenants.Organization"),
        CaptureRows("tenants.Membership"),
        CaptureRows("tenants.Project"),
        CaptureRows("tenants.ProjectMember"),
        CaptureRows("tenants.ServiceAccount"),
        CaptureRows(
            "tenants.ApiToken",
            redact=["digest", "previous_digest"],
            ignore=["last_used_at", "last_used_ip_prefix"],
        ),
    ]

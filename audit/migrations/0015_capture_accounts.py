"""Capture second factors and e-mail addresses; leave epochs out."""

from django.db import migrations

from audit.operations import CaptureRows, Rows

PERSONAL = ["username", "first_name", "last_name", "email"]


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0011_capture_invitations"),
        ("tenants", "0011_grant_account_tables"),
    ]

    operations = [
        CaptureRows("account.EmailAddress", personal=["email"]),
        CaptureRows("mfa.Authenticator", redact=["data"], ignore=["last_used_at"]),
        CaptureRows(
            "tenants.User",
            redact=["password"],
            personal=PERSONAL,
            ignore=["last_login", "session_epoch", "sign_in_epoch"],
            instead_of=Rows(
                redact=["password"], personal=PERSONAL, ignore=["last_login"]
            ),
        ),
    ]

"""Leave the digests of a token's former secrets out of the trail, like the others."""

from django.db import migrations

from audit.operations import CaptureRows, Rows

BEFORE = Rows(
    redact=["digest", "previous_digest"],
    ignore=["last_used_at", "last_used_ip_prefix"],
)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0019_capture_retention"),
        ("tenants", "0012_retired_digests"),
    ]

    operations = [
        CaptureRows(
            "tenants.ApiToken",
            redact=["digest", "previous_digest", "retired_digests"],
            ignore=["last_used_at", "last_used_ip_prefix"],
            instead_of=BEFORE,
        )
    ]

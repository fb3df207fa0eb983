"""Every secret that a token ever had is told from a guess, not the last one alone."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

RECOGNIZE = """
CREATE OR REPLACE FUNCTION tenants_rotated_away(
    p_public_id text, p_digest bytea, OUT id uuid, OUT organization_id uuid
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.organization_id FROM api_tokens t
    WHERE t.public_id = p_public_id AND ({used})
$$;
"""
LAST = "t.previous_digest = p_digest AND t.previous_valid_until <= now()"
ALL = f"{LAST} OR p_digest = ANY (t.retired_digests)"


class Migration(migrations.Migration):
    dependencies = [("tenants", "0013_storage_limits")]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="retired_digests",
            field=ArrayField(
                base_field=models.BinaryField(max_length=32),
                default=list,
                editable=False,
                size=None,
            ),
        ),
        migrations.RunSQL(RECOGNIZE.format(used=ALL), RECOGNIZE.format(used=LAST)),
    ]

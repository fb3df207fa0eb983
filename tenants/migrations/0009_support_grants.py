"""Support grants, and what staff may learn before any organization is bound."""

import datetime

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import mlops.db.uuid7
from mlops.db.operations import ProtectTenantTable

# SECURITY DEFINER: staff belongs to no organization, and unbound the web role sees no
# row. Each page of the admin asks this, so a grant that was revoked ends at once.
GRANTS = """
CREATE FUNCTION tenants_support_grants(p_user uuid)
RETURNS TABLE (id uuid, organization_id uuid, slug varchar, name varchar,
               may_write boolean, break_glass boolean, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT g.id, o.id, o.slug, o.name, g.may_write, g.break_glass, g.expires_at
    FROM support_grants g
    JOIN users u ON u.id = g.staff_id
    JOIN organizations o ON o.id = g.organization_id
    WHERE g.staff_id = p_user AND u.is_active AND u.is_staff
      AND g.revoked_at IS NULL AND o.deleted_at IS NULL
      AND CASE WHEN g.approved_at IS NULL
               THEN g.created_at > now() - interval '7 days'
               ELSE g.expires_at > now() END
    ORDER BY o.slug, g.id DESC
$$;
"""
# Where a question goes that names the organization by its address.
ADDRESSED = """
CREATE FUNCTION tenants_support_organization(p_user uuid, p_slug text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.id FROM organizations o, users u
    WHERE o.slug = p_slug AND o.deleted_at IS NULL
      AND u.id = p_user AND u.is_active AND u.is_staff
$$;
"""
GRANT = """
REVOKE ALL ON FUNCTION {name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {name} TO app_rw, app_maint;
"""
MAX_AGE = datetime.timedelta(hours=8)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0010_project_switches")]

    operations = [
        migrations.CreateModel(
            name="SupportGrant",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=mlops.db.uuid7.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("reason", models.CharField(max_length=500)),
                ("hours", models.PositiveSmallIntegerField(default=1)),
                ("may_write", models.BooleanField(default=False)),
                ("break_glass", models.BooleanField(default=False, editable=False)),
                ("approved_by", models.UUIDField(editable=False, null=True)),
                ("approved_at", models.DateTimeField(editable=False, null=True)),
                ("expires_at", models.DateTimeField(editable=False, null=True)),
                ("revoked_by", models.UUIDField(editable=False, null=True)),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.organization",
                    ),
                ),
                (
                    "staff",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "support_grants",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        fields=["staff", "-id"], name="support_grants_of_staff"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            approved_at__isnull=True, revoked_at__isnull=True
                        ),
                        fields=("organization", "staff"),
                        name="support_grants_pending",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(hours__gte=1, hours__lte=8),
                        name="support_grants_hours",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            approved_at__isnull=True, expires_at__isnull=True
                        )
                        | models.Q(
                            expires_at__gt=models.F("approved_at"),
                            expires_at__lte=models.F("approved_at") + MAX_AGE,
                        ),
                        name="support_grants_expire",
                    ),
                ],
            },
        ),
        ProtectTenantTable("SupportGrant", admitting=True),
        migrations.RunSQL(
            GRANTS + GRANT.format(name="tenants_support_grants"),
            "DROP FUNCTION tenants_support_grants",
        ),
        migrations.RunSQL(
            ADDRESSED + GRANT.format(name="tenants_support_organization"),
            "DROP FUNCTION tenants_support_organization",
        ),
    ]

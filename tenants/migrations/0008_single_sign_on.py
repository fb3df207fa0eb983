"""Single sign-on of organizations, and what a sign-in asks before any is bound."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import mlops.db.uuid7
from mlops.db.operations import ProtectTenantTable

# Rows here belong to a person, not to an organization.
TABLES = "socialaccount_socialaccount, socialaccount_socialtoken"
GRANT = f"""
GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLES} TO app_rw, app_maint;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_rw, app_maint;
"""
REVOKE = f"REVOKE ALL ON {TABLES} FROM app_rw, app_maint"

# SECURITY DEFINER: somebody who signs in is bound to no organization yet.
PLACES = """
CREATE FUNCTION tenants_sign_on_places(p_user uuid, p_domain text)
RETURNS TABLE (organization_id uuid, group_roles jsonb, owns_domain boolean,
               role varchar, was_member boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.organization_id, s.group_roles, p_domain = ANY (s.domains), m.role,
           EXISTS (SELECT FROM organization_memberships former
                   WHERE former.organization_id = s.organization_id
                     AND former.user_id = p_user)
    FROM single_sign_ons s
    JOIN organizations o ON o.id = s.organization_id AND o.deleted_at IS NULL
    LEFT JOIN organization_memberships m
           ON m.organization_id = s.organization_id AND m.user_id = p_user
          AND m.deleted_at IS NULL
    WHERE p_domain = ANY (s.domains) OR m.id IS NOT NULL
    ORDER BY s.organization_id
$$;
REVOKE ALL ON FUNCTION tenants_sign_on_places FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_sign_on_places TO app_rw, app_maint;
"""

# An organization decides on the people of its own domains; its guests keep their
# passwords, or any owner could shut people out by inviting them.
CLOSED = """
CREATE FUNCTION tenants_closed_to_passwords(p_user uuid)
RETURNS TABLE (organization_id uuid, organization varchar, role varchar)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.id, o.slug, m.role
    FROM organization_memberships m
    JOIN organizations o ON o.id = m.organization_id AND o.deleted_at IS NULL
    JOIN single_sign_ons s ON s.organization_id = m.organization_id
    JOIN users u ON u.id = m.user_id
    WHERE m.user_id = p_user AND m.deleted_at IS NULL AND s.sso_only
      AND lower(split_part(u.email, '@', 2)) = ANY (s.domains)
    ORDER BY o.slug
$$;
REVOKE ALL ON FUNCTION tenants_closed_to_passwords FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_closed_to_passwords TO app_rw, app_maint;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0009_support_grants"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
    ]

    operations = [
        migrations.CreateModel(
            name="SingleSignOn",
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
                (
                    "domains",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=253),
                        blank=True,
                        default=list,
                        help_text=(
                            "E-mail domains that an operator has verified to be its"
                            " own."
                        ),
                        size=None,
                    ),
                ),
                (
                    "group_roles",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='Role by group, such as {"ml-admins": "admin"}.',
                    ),
                ),
                (
                    "sso_only",
                    models.BooleanField(
                        default=False,
                        help_text=(
                            "Members but its owners sign in by the provider, not by"
                            " password."
                        ),
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="tenants.organization",
                    ),
                ),
            ],
            options={
                "verbose_name": "single sign-on",
                "verbose_name_plural": "single sign-on",
                "db_table": "single_sign_ons",
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["organization"], name="single_sign_ons_organization"
                    )
                ],
            },
        ),
        ProtectTenantTable("SingleSignOn", admitting=True),
        migrations.RunSQL(GRANT, REVOKE),
        migrations.RunSQL(PLACES, "DROP FUNCTION tenants_sign_on_places"),
        migrations.RunSQL(CLOSED, "DROP FUNCTION tenants_closed_to_passwords"),
    ]

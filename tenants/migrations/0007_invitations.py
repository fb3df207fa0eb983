"""Invitations, and the one look at them before any organization is bound."""

import django.db.models.deletion
from django.db import migrations, models

import mlops.db.uuid7
from mlops.db.operations import ProtectTenantTable

# An invitation lives no longer than its inviter's right to make it.
USABLE = """
    FROM invitations i
    JOIN organizations o ON o.id = i.organization_id
    WHERE i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > now()
      AND o.deleted_at IS NULL
      AND (i.invited_by IS NULL OR EXISTS (
          SELECT FROM organization_memberships m
          JOIN users u ON u.id = m.user_id
          WHERE m.organization_id = i.organization_id AND m.user_id = i.invited_by
            AND m.deleted_at IS NULL AND u.is_active
            AND (m.role = 'owner' OR m.role = 'admin' AND i.role <> 'owner')))
"""
# SECURITY DEFINER: who opens a link belongs to no organization yet, and unbound the web
# role sees no row.
FIND = f"""
CREATE FUNCTION tenants_find_invitation(p_digest bytea)
RETURNS TABLE (organization_id uuid, id uuid, is_mailed boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT i.organization_id, i.id, i.mailed_digest = p_digest
    {USABLE}
      AND (i.shown_digest = p_digest OR i.mailed_digest = p_digest)
$$;
REVOKE ALL ON FUNCTION tenants_find_invitation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_find_invitation TO app_rw, app_maint;
"""
# For somebody whose address an identity provider vouches for: the link proves no more.
FIND_BY_ADDRESS = f"""
CREATE FUNCTION tenants_invitations_for(p_email text)
RETURNS TABLE (organization_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT i.organization_id, i.id
    {USABLE}
      AND i.email = p_email
    ORDER BY i.id
$$;
REVOKE ALL ON FUNCTION tenants_invitations_for FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_invitations_for TO app_rw, app_maint;
"""
PENDING = models.Q(accepted_at__isnull=True, revoked_at__isnull=True)
ROLES = [("owner", "Owner"), ("admin", "Admin"), ("member", "Member")]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_throttles")]

    operations = [
        migrations.CreateModel(
            name="Invitation",
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
                ("email", models.EmailField(max_length=254)),
                (
                    "role",
                    models.CharField(choices=ROLES, default="member", max_length=8),
                ),
                (
                    "project_roles",
                    models.JSONField(
                        blank=True, default=dict, help_text="Role by the project's id."
                    ),
                ),
                ("shown_digest", models.BinaryField(max_length=32)),
                ("mailed_digest", models.BinaryField(max_length=32)),
                ("invited_by", models.UUIDField(editable=False, null=True)),
                ("sent_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(editable=False, null=True)),
                ("accepted_by", models.UUIDField(editable=False, null=True)),
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
            ],
            options={
                "db_table": "invitations",
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["organization", "email"],
                        name="invitations_pending",
                        condition=PENDING,
                    ),
                    models.UniqueConstraint(
                        fields=["shown_digest"], name="invitations_shown"
                    ),
                    models.UniqueConstraint(
                        fields=["mailed_digest"], name="invitations_mailed"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(role__in=["owner", "admin", "member"]),
                        name="invitations_role",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(expires_at__gt=models.F("sent_at")),
                        name="invitations_expire",
                    ),
                ],
            },
        ),
        ProtectTenantTable("Invitation", admitting=True),
        migrations.RunSQL(FIND, "DROP FUNCTION tenants_find_invitation"),
        migrations.RunSQL(FIND_BY_ADDRESS, "DROP FUNCTION tenants_invitations_for"),
    ]

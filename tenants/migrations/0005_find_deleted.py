"""tenants_deleted_organization: the one look at a frozen organization, its owner's."""

from django.db import migrations

# SECURITY DEFINER: nobody can be bound to an organization that tenants_admit refuses,
# and unbound the web role sees none.
CREATE = """
CREATE FUNCTION tenants_deleted_organization(p_user uuid, p_slug text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.id
    FROM organizations o
    JOIN organization_memberships m ON m.organization_id = o.id
    JOIN users u ON u.id = m.user_id
    WHERE o.slug = p_slug AND o.deleted_at IS NOT NULL
      AND m.user_id = p_user AND m.deleted_at IS NULL AND m.role = 'owner'
      AND u.is_active
$$;
REVOKE ALL ON FUNCTION tenants_deleted_organization FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenants_deleted_organization TO app_rw, app_maint;
"""
DROP = "DROP FUNCTION tenants_deleted_organization"


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_admit")]

    operations = [migrations.RunSQL(CREATE, DROP)]

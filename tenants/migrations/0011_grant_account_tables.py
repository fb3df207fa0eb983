"""What the web role may do to allauth's tables, and what ends a person's sessions."""

from django.db import migrations, models

# Rows here belong to a person, not to an organization.
TABLES = """
    account_emailaddress, account_emailconfirmation, mfa_authenticator,
    usersessions_usersession
"""
GRANT = f"""
GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLES} TO app_rw, app_maint;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_rw, app_maint;
"""
REVOKE = f"REVOKE ALL ON {TABLES} FROM app_rw, app_maint"

# Sessions carry the epoch of their start (User._get_session_auth_hash). Triggers, so
# that no way of changing rights forgets it: services, admin, commands, raw SQL.
END_SESSIONS = """
CREATE FUNCTION users_end_sessions() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    NEW.session_epoch := OLD.session_epoch + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER users_end_sessions
    BEFORE UPDATE OF is_active, is_staff, is_superuser ON users FOR EACH ROW
    WHEN ((OLD.is_active, OLD.is_staff, OLD.is_superuser)
          IS DISTINCT FROM (NEW.is_active, NEW.is_staff, NEW.is_superuser))
    EXECUTE FUNCTION users_end_sessions();

CREATE FUNCTION members_end_sessions() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE users SET session_epoch = session_epoch + 1 WHERE id = OLD.user_id;
    RETURN NULL;
END $$;
CREATE TRIGGER members_end_sessions
    AFTER UPDATE OF role, deleted_at ON organization_memberships FOR EACH ROW
    WHEN ((OLD.role, OLD.deleted_at) IS DISTINCT FROM (NEW.role, NEW.deleted_at))
    EXECUTE FUNCTION members_end_sessions();
CREATE TRIGGER members_end_sessions
    AFTER UPDATE OF role, deleted_at ON project_members FOR EACH ROW
    WHEN ((OLD.role, OLD.deleted_at) IS DISTINCT FROM (NEW.role, NEW.deleted_at))
    EXECUTE FUNCTION members_end_sessions();
"""
KEEP_SESSIONS = """
DROP TRIGGER members_end_sessions ON project_members;
DROP TRIGGER members_end_sessions ON organization_memberships;
DROP FUNCTION members_end_sessions();
DROP TRIGGER users_end_sessions ON users;
DROP FUNCTION users_end_sessions();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0007_invitations"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("usersessions", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="session_epoch",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="user",
            name="sign_in_epoch",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.RunSQL(GRANT, REVOKE),
        migrations.RunSQL(END_SESSIONS, KEEP_SESSIONS),
    ]

"""What the web role may do to the tables of Django and of the job queue."""

from django.db import migrations

# Rows here belong to no organization: accounts, sessions, content types, jobs.
TABLES = """
    users, users_groups, users_user_permissions, auth_group, auth_group_permissions,
    django_session, django_admin_log
"""
READ_ONLY = "auth_permission, django_content_type, django_migrations"
JOBS = """
    procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers,
    procrastinate_workers
"""
GRANT = f"""
GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLES} TO app_rw, app_maint;
GRANT SELECT ON {READ_ONLY} TO app_rw, app_maint;
GRANT SELECT, INSERT, UPDATE, DELETE ON {JOBS} TO app_maint;
GRANT SELECT, INSERT, UPDATE ON {JOBS} TO app_rw;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_rw, app_maint;
"""
REVOKE = f"""
REVOKE ALL ON {TABLES}, {READ_ONLY}, {JOBS} FROM app_rw, app_maint;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM app_rw, app_maint;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_protect"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("sessions", "0001_initial"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]

    operations = [migrations.RunSQL(GRANT, REVOKE)]

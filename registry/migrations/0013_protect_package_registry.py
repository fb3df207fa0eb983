"""Rules and counters under row-level security; triggers that count every file."""

from django.db import migrations

from mlops.db.operations import ProtectTenantTable

IN_PROJECT = {"project_id": "projects"}
REMOVABLE = "SELECT, INSERT, UPDATE, DELETE"

# In the pattern of a rule only * stands for something.
NAME_MATCHES = r"""
CREATE FUNCTION registry_name_matches(p_name text, p_pattern text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT p_name LIKE replace(replace(replace(replace(
        p_pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')
$$;
"""

# Whoever counts holds the row of the project until the end of its transaction, so what
# it reads there afterwards includes all that others have committed, and nobody comes
# between. Packages are locked before it: take no further one after a file was stored.
COUNT = """
CREATE FUNCTION registry_count_storage(
    p_organization uuid, p_project uuid, p_bytes numeric, p_files bigint
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO storage_usage (id, organization_id, project_id, size_bytes, file_count,
                               created_at, updated_at)
    VALUES (uuid7_at(now()), p_organization, p_project, p_bytes, p_files, now(), now())
    ON CONFLICT (organization_id, project_id) DO UPDATE
    SET size_bytes = storage_usage.size_bytes + EXCLUDED.size_bytes,
        file_count = storage_usage.file_count + EXCLUDED.file_count,
        updated_at = EXCLUDED.updated_at
$$;
"""

FILES = """
CREATE FUNCTION registry_count_files_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM registry_count_storage(organization_id, project_id, bytes, files)
    FROM (SELECT package.organization_id, package.project_id,
                 sum(changed.size_bytes) AS bytes, sum(changed.files) AS files
          FROM ({changed}) AS changed
          JOIN packages package ON package.organization_id = changed.organization_id
                               AND package.id = changed.package_id
          WHERE package.deleted_at IS NULL AND package.status <> 'pending_destruction'
          GROUP BY package.organization_id, package.project_id
          ORDER BY package.project_id) AS of_project
    WHERE bytes <> 0 OR files <> 0;
    RETURN NULL;
END $$;
CREATE TRIGGER registry_count_files_{event} AFTER {event} ON package_files
    REFERENCING {tables} FOR EACH STATEMENT
    EXECUTE FUNCTION registry_count_files_{event}();
"""
NO_FILES = """
DROP TRIGGER registry_count_files_{event} ON package_files;
DROP FUNCTION registry_count_files_{event}();
"""
ADDED = "SELECT organization_id, package_id, size_bytes, 1 AS files FROM added"
REMOVED = "SELECT organization_id, package_id, -size_bytes, -1 FROM removed"
GONE = "SELECT organization_id, package_id, -size_bytes AS size_bytes, -1 AS files FROM removed"
EVENTS = {
    "insert": (ADDED, "NEW TABLE AS added"),
    "update": (
        f"{ADDED} UNION ALL {REMOVED}",
        "OLD TABLE AS removed NEW TABLE AS added",
    ),
    "delete": (GONE, "OLD TABLE AS removed"),
}

# Deleted packages do not count, restored ones do again.
PACKAGES = """
CREATE FUNCTION registry_count_package() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    counts boolean := NEW.deleted_at IS NULL AND NEW.status <> 'pending_destruction';
    side integer := CASE WHEN counts THEN 1 ELSE -1 END;
BEGIN
    PERFORM registry_count_storage(NEW.organization_id, NEW.project_id,
                                   side * sum(size_bytes), side * count(*))
    FROM package_files
    WHERE organization_id = NEW.organization_id AND package_id = NEW.id
    HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER registry_count_package AFTER UPDATE ON packages FOR EACH ROW
    WHEN ((OLD.deleted_at IS NULL AND OLD.status <> 'pending_destruction')
          IS DISTINCT FROM
          (NEW.deleted_at IS NULL AND NEW.status <> 'pending_destruction'))
    EXECUTE FUNCTION registry_count_package();
"""
NO_PACKAGES = """
DROP TRIGGER registry_count_package ON packages;
DROP FUNCTION registry_count_package();
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0012_package_registry")]

    operations = [
        ProtectTenantTable(
            "PackageProtectionRule", parents=IN_PROJECT, grants=REMOVABLE
        ),
        ProtectTenantTable("StorageUsage", parents=IN_PROJECT),
        migrations.RunSQL(
            NAME_MATCHES, "DROP FUNCTION registry_name_matches(text, text)"
        ),
        migrations.RunSQL(
            COUNT, "DROP FUNCTION registry_count_storage(uuid, uuid, numeric, bigint)"
        ),
        *(
            migrations.RunSQL(
                FILES.format(event=event, changed=changed, tables=tables),
                NO_FILES.format(event=event),
            )
            for event, (changed, tables) in EVENTS.items()
        ),
        migrations.RunSQL(PACKAGES, NO_PACKAGES),
    ]

"""Migration operations that give a table the database's half of tenancy.

The SQL of an operation, once released, is never edited: a change is a new operation.
"""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

# Compares one column with one scalar sub-select, which PostgreSQL computes once a
# statement; after a SET LOCAL has ended the setting is an empty string, not NULL.
TENANT = "(SELECT NULLIF(current_setting('app.organization_id', true), '')::uuid)"

PROTECT = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY {table}_open ON {table} TO app_rw USING (true) WITH CHECK (true);
CREATE POLICY {table}_tenant ON {table} AS RESTRICTIVE TO app_rw
    USING ({column} = {tenant}) WITH CHECK ({column} = {tenant});
GRANT {grants} ON {table} TO app_rw;
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO app_maint;
"""

# Functions that admit a caller run as the owner, which FORCE binds as well.
ADMITTING = """
CREATE POLICY {table}_admitting ON {table} FOR SELECT TO app_owner USING (true);
"""

ORGANIZATION_KEY = """
ALTER TABLE {table} ADD CONSTRAINT {table}_organization_id_id
    UNIQUE (organization_id, id);
"""

REFERENCE = """
ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_organization_fk
    FOREIGN KEY (organization_id, {column}) REFERENCES {parent} (organization_id, id);
-- A parent implies its organization. Unaware of it, the planner multiplies both chances
-- and takes any index that starts with the organization for as good as the right one.
CREATE STATISTICS {table}_{column}_organization (dependencies)
    ON organization_id, {column} FROM {table};
"""

UNPROTECT = """
DROP POLICY {table}_tenant ON {table};
DROP POLICY {table}_open ON {table};
DROP POLICY IF EXISTS {table}_admitting ON {table};
ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
REVOKE ALL ON {table} FROM app_rw, app_maint;
"""

# One materialized DISTINCT: two of them cost as much as the foreign key they replace.
GUARD = """
CREATE FUNCTION {table}_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE strangers bigint;
BEGIN
    WITH parents AS MATERIALIZED (
        SELECT DISTINCT organization_id, {column} AS parent FROM added
    ), known AS (
        SELECT p.parent FROM parents p
        JOIN {parent} o ON o.id = p.parent AND o.organization_id = p.organization_id
        FOR KEY SHARE OF o
    )
    SELECT (SELECT count(*) FROM parents) - (SELECT count(*) FROM known)
    INTO strangers;
    IF strangers > 0 THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'a row of {table} names a {column} that its organization lacks';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER {table}_guard AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION {table}_guard();
"""

UNGUARD = """
DROP TRIGGER {table}_guard ON {table};
DROP FUNCTION {table}_guard();
"""

IMMUTABLE = """
CREATE TRIGGER {table}_immutable BEFORE UPDATE OF {columns} ON {table}
    FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION refuse_change();
"""


class SchemaOnly(Operation):
    """Base: changes the database, not what Django knows of the models."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def table(self, app_label: str, state: ProjectState) -> str:
        model = state.apps.get_model(app_label, self.model_name)
        return model._meta.db_table

    def run(self, app_label: str, schema_editor: Any, sql: str) -> None:
        connection = schema_editor.connection
        if self.allow_migrate_model_of(app_label, connection.alias):
            schema_editor.execute(sql, params=None)

    def allow_migrate_model_of(self, app_label: str, alias: str) -> bool:
        return alias == "owner"


class ProtectTenantTable(SchemaOnly):
    """Put a table under forced row-level security, with keys that hold the tenant.

    `parents` maps a column to the table it refers to; the foreign key includes the
    organization, so a row of another tenant cannot be referred to. `grants` is what
    the web role may do. `keyed=False` leaves out UNIQUE (organization_id, id), for
    facts that nothing refers to. `admitting` opens the table for reading to the
    functions that admit a caller. `column` is `id` for the organizations themselves.
    """

    def __init__(
        self,
        model_name: str,
        *,
        parents: dict[str, str] | None = None,
        grants: str = "SELECT, INSERT, UPDATE",
        keyed: bool = True,
        admitting: bool = False,
        column: str = "organization_id",
    ) -> None:
        super().__init__(model_name)
        self.parents = parents or {}
        self.grants = grants
        self.keyed = keyed
        self.admitting = admitting
        self.column = column

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Any,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        # Keys that Django deferred must stand before the constraints below.
        schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE", params=None)
        table = self.table(app_label, to_state)
        for statement in self._statements(table):
            self.run(app_label, schema_editor, statement)

    def _statements(self, table: str) -> list[str]:
        protect = PROTECT.format(
            table=table, column=self.column, grants=self.grants, tenant=TENANT
        )
        statements = [protect]
        if self.admitting:
            statements.append(ADMITTING.format(table=table))
        if self.keyed:
            statements.append(ORGANIZATION_KEY.format(table=table))
        for column, parent in self.parents.items():
            statements.append(
                REFERENCE.format(table=table, column=column, parent=parent)
            )
        return statements

    def database_backwards(
        self,
        app_label: str,
        schema_editor: Any,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        table = self.table(app_label, from_state)
        for column in self.parents:
            self._drop(app_label, schema_editor, table, f"{column}_organization_fk")
            statistics = f"{table}_{column}_organization"
            self.run(app_label, schema_editor, f"DROP STATISTICS {statistics}")
        if self.keyed:
            self._drop(app_label, schema_editor, table, "organization_id_id")
        self.run(app_label, schema_editor, UNPROTECT.format(table=table))

    def _drop(self, app_label: str, editor: Any, table: str, suffix: str) -> None:
        self.run(
            app_label, editor, f"ALTER TABLE {table} DROP CONSTRAINT {table}_{suffix}"
        )

    def describe(self) -> str:
        return f"Put {self.model_name} under row-level security"


class GuardFacts(SchemaOnly):
    """Check by a statement trigger that the parent of each fact is the tenant's own."""

    def __init__(self, model_name: str, *, column: str, parent: str) -> None:
        super().__init__(model_name)
        self.column = column
        self.parent = parent

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Any,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        table = self.table(app_label, to_state)
        sql = GUARD.format(table=table, column=self.column, parent=self.parent)
        self.run(app_label, schema_editor, sql)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: Any,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        table = self.table(app_label, from_state)
        self.run(app_label, schema_editor, UNGUARD.format(table=table))

    def describe(self) -> str:
        return f"Guard the parent of {self.model_name}"


class ForbidChange(SchemaOnly):
    """Refuse an update that would change one of `columns`, whoever asks."""

    def __init__(self, model_name: str, *, columns: list[str]) -> None:
        super().__init__(model_name)
        self.columns = columns

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Any,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        changed = " OR ".join(f"OLD.{c} IS DISTINCT FROM NEW.{c}" for c in self.columns)
        sql = IMMUTABLE.format(
            table=self.table(app_label, to_state),
            columns=", ".join(self.columns),
            changed=changed,
        )
        self.run(app_label, schema_editor, sql)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: Any,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        table = self.table(app_label, from_state)
        self.run(app_label, schema_editor, f"DROP TRIGGER {table}_immutable ON {table}")

    def describe(self) -> str:
        return f"Forbid changes of {', '.join(self.columns)} of {self.model_name}"

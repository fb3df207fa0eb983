"""Ways around the trail, tried by the roles that serve people and that run commands.

What test_append_only.py tries on entries themselves is not repeated here: these go for
the seals, the functions, the triggers, the session and the names they are found by.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from audit import sql
from audit.models import AuditLog
from audit.tests.test_append_only import signed_in_as
from audit.tests.trail import entries, run
from mlops.db.uuid7 import uuid7
from registry.models import RegisteredModel
from registry.tests.factories import RegisteredModelFactory
from tenants.tests.factories import UserFactory

pytestmark = pytest.mark.django_db

DENIED = "42501"
SEAL = """
INSERT INTO audit_seals
SELECT uuid7_at(now()), NULL, 1, 1, 1, 1, uuid7_at(now()), 0, 1, 2, NULL, NULL, 0, 0,
       '', '', '', '', now(), '', 'none'
"""

ATTEMPTS = {
    # Seals and anchors
    "add a seal": SEAL,
    "change seals": "UPDATE audit_seals SET signature = ''",
    "delete seals": "DELETE FROM audit_seals",
    "truncate the seals": "TRUNCATE audit_seals",
    "move seals aside": "ALTER TABLE audit_seals RENAME TO kept",
    "open the seals": "DROP POLICY audit_seals_tenant ON audit_seals",
    "change anchors": "UPDATE audit_anchors SET line = ''",
    "delete anchors": "DELETE FROM audit_anchors",
    "truncate the anchors": "TRUNCATE audit_anchors",
    # The trail's table
    "copy entries in": "COPY audit_logs FROM STDIN",
    "copy entries in from a file": "COPY audit_logs FROM '/etc/hostname'",
    "merge into the trail": (
        "MERGE INTO audit_logs a USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE"
    ),
    "lock entries": "SELECT 1 FROM audit_logs FOR UPDATE",
    "lock the trail": "LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE",
    "add a column": "ALTER TABLE audit_logs ADD COLUMN note text",
    "drop a column": "ALTER TABLE audit_logs DROP COLUMN db_role",
    "move the trail aside": "ALTER TABLE audit_logs RENAME TO kept",
    "drop the trail": "DROP TABLE audit_logs CASCADE",
    "drop an index": "DROP INDEX idx_audit_logs_org_created",
    "write by a rule": "CREATE RULE r AS ON INSERT TO audit_logs DO INSTEAD NOTHING",
    "read statistics of the table": (
        "CREATE STATISTICS s ON reason, route FROM audit_logs"
    ),
    # Triggers and functions
    "replace what captures": (
        "CREATE OR REPLACE FUNCTION audit_capture() RETURNS trigger LANGUAGE"
        " plpgsql AS 'BEGIN END'"
    ),
    "replace what refuses": (
        "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE"
        " plpgsql AS 'BEGIN END'"
    ),
    "shadow what captures": (
        "CREATE  FUNCTION audit_capture2() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN END'"
    ),
    "shadow a table": "CREATE TABLE public.audit_logs2 (LIKE audit_logs)",
    "give a function away": "ALTER FUNCTION audit_capture OWNER TO CURRENT_USER",
    "open a function": "ALTER FUNCTION audit_append SECURITY DEFINER",
    "take its settings": "ALTER FUNCTION audit_capture RESET ALL",
    "rename a function": "ALTER FUNCTION audit_capture() RENAME TO none",
    "call what captures": "SELECT audit_capture()",
    "call what hides": "SELECT audit_hide('{}', '{}', '{}')",
    "hang a trigger before entries": (
        "CREATE TRIGGER t BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE"
        " FUNCTION suppress_redundant_updates_trigger()"
    ),
    "hang a trigger before captured rows": (
        "CREATE TRIGGER a BEFORE UPDATE ON alerts FOR EACH ROW EXECUTE FUNCTION"
        " suppress_redundant_updates_trigger()"
    ),
    "stop a trigger of a captured table": "ALTER TABLE alerts DISABLE TRIGGER USER",
    "let it fire on replicas only": (
        "ALTER TABLE alerts ENABLE REPLICA TRIGGER audit_capture"
    ),
    # The session and the roles
    "switch row security off": "ALTER TABLE projects DISABLE ROW LEVEL SECURITY",
    "let owners pass": "ALTER TABLE projects NO FORCE ROW LEVEL SECURITY",
    "open a table to all": "CREATE POLICY p ON projects USING (true)",
    "play a replica": "SET session_replication_role = replica",
    "play a replica by a function": (
        "SELECT set_config('session_replication_role', 'replica', true)"
    ),
    "play a replica from the next sign-in on": (
        "ALTER ROLE CURRENT_USER SET session_replication_role = replica"
    ),
    "become who runs programs": "SET ROLE pg_execute_server_program",
    "pass row security": "ALTER ROLE CURRENT_USER BYPASSRLS",
    "let oneself in": "GRANT audit_owner TO CURRENT_USER",
    "make a role": "CREATE ROLE ghost LOGIN",
    "watch the commands of others": (
        "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION audit_refuse()"
    ),
    "run a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "write a file": "COPY (SELECT 1) TO '/tmp/none'",
    "load a library": "LOAD 'plpgsql_check'",
    "drop all that captures": "DROP OWNED BY audit_owner",
    "take all that captures": "REASSIGN OWNED BY audit_owner TO CURRENT_USER",
}
CASES = [
    (role, what, attempt)
    for role in ("app_rw", "app_maint")
    for what, attempt in ATTEMPTS.items()
]


@pytest.mark.parametrize(
    "role,what,attempt", CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES]
)
def test_role_is_refused(role, what, attempt):
    model = RegisteredModelFactory()
    before = entries()
    with pytest.raises(DatabaseError) as refusal, signed_in_as(role):
        run(attempt)
    assert refusal.value.__cause__.sqlstate == DENIED
    assert entries() == before
    RegisteredModel._base_manager.filter(pk=model.pk).update(description="seen")
    assert len(entries()) == len(before) + 1


@pytest.mark.parametrize("role", ["app_rw", "app_maint"])
def test_role_cannot_grant_itself_a_right(role):
    """PostgreSQL warns instead of refusing; nothing is granted."""
    tables = ["audit_logs", "audit_seals"]
    before = sql.grants(connection, tables)
    with signed_in_as(role):
        for table in tables:
            run(f"GRANT ALL ON {table} TO {role} WITH GRANT OPTION")
    assert sql.grants(connection, tables) == before


def test_web_role_cannot_add_an_anchor_and_the_sealers_role_cannot_take_one_back():
    anchor = (
        "INSERT INTO audit_anchors (id, place, anchored_at, epoch, xid_next, chains,"
        " line) VALUES (%s, 'file', now(), 1, 1, 1, '')"
    )
    with pytest.raises(DatabaseError) as refusal, signed_in_as("app_rw"):
        run(anchor, uuid7())
    assert refusal.value.__cause__.sqlstate == DENIED
    run(anchor, uuid7())
    for statement in (
        "UPDATE audit_anchors SET line = 'x'",
        "DELETE FROM audit_anchors",
        "TRUNCATE audit_anchors",
    ):
        with (
            pytest.raises(IntegrityError, match="stay as they are"),
            transaction.atomic(),
        ):
            run(statement)


STOPPED = [
    "UPDATE audit_seals SET signature = ''",
    "DELETE FROM audit_seals",
    "TRUNCATE audit_seals",
]


@pytest.mark.parametrize("statement", STOPPED)
def test_superuser_is_stopped_at_seals_by_triggers(statement):
    run(SEAL)
    with pytest.raises(IntegrityError, match="stay as they are"), transaction.atomic():
        run(statement)
    assert run("SELECT count(*) FROM audit_seals") == [(1,)]


# What is allowed, and what it cannot hide


def change_as(role: str, model: RegisteredModel, *preparing: str) -> None:
    """Sign in as a role, prepare something, and change the model."""
    with signed_in_as(role):
        organization = str(model.organization_id)
        run("SELECT set_config('app.organization_id', %s, true)", organization)
        for statement in preparing:
            run(statement)
        run(
            "UPDATE public.registered_models SET description = 'changed' WHERE id = %s",
            model.pk,
        )
        run("RESET ALL")


def last_entry(model: RegisteredModel) -> AuditLog:
    return entries(object_id=model.pk)[-1]


@pytest.mark.parametrize("role", ["app_rw", "app_maint"])
def test_actor_can_be_made_up_but_not_the_session(role):
    somebody = "user:01890000-0000-7000-8000-000000000001:abcdefABCDEF"
    model = RegisteredModelFactory()
    change_as(
        role,
        model,
        f"SET LOCAL app.actor = '{somebody}'",
        "SET LOCAL app.request = E'other\\t198.51.100.1\\tGET /other'",
        f"SET LOCAL ROLE {role}",
    )
    entry = last_entry(model)
    assert entry.actor_id == UUID("01890000-0000-7000-8000-000000000001")
    assert entry.request_id == "other"
    assert entry.db_role == role
    ((pid, moment),) = run("SELECT pg_backend_pid(), clock_timestamp()")
    assert entry.backend_pid == pid
    assert datetime(2020, 1, 1, tzinfo=UTC) < entry.created_at < moment


TRICKS = [
    ("path", "SET LOCAL search_path = pg_temp, public, pg_catalog"),
    ("no path", "SET LOCAL search_path = ''"),
    ("no triggers' names", "SET LOCAL client_encoding = 'SQL_ASCII'"),
    ("other texts", "SET LOCAL datestyle = 'SQL, DMY'"),
    ("other quotes", "SET LOCAL standard_conforming_strings = off"),
    ("null by equals", "SET LOCAL transform_null_equals = on"),
    ("no inlining", "SET LOCAL plan_cache_mode = force_generic_plan"),
    ("deferred", "SET CONSTRAINTS ALL DEFERRED"),
    ("asynchronous", "SET LOCAL synchronous_commit = off"),
]


@pytest.mark.parametrize("role", ["app_rw", "app_maint"])
@pytest.mark.parametrize("_case,trick", TRICKS)
def test_settings_of_a_session_hide_nothing(_case, trick, role):
    model = RegisteredModelFactory()
    change_as(role, model, trick)
    entry = last_entry(model)
    assert (entry.before, entry.after) == (
        {"description": ""},
        {"description": "changed"},
    )
    assert entry.action == "registry.registered_model.updated"


TEXTS_LIE = (
    "CREATE FUNCTION pg_temp.to_jsonb(public.registered_models) RETURNS jsonb"
    " LANGUAGE sql AS 'SELECT NULL::jsonb'"
)
IDS_LIE = (
    "CREATE FUNCTION pg_temp.uuid7_at(timestamptz) RETURNS uuid LANGUAGE sql"
    " AS 'SELECT NULL::uuid'"
)
NOTHING_DIFFERS = (
    "CREATE FUNCTION pg_temp.never(jsonb, jsonb) RETURNS boolean LANGUAGE sql"
    " AS 'SELECT false'; CREATE OPERATOR pg_temp.<> (LEFTARG = jsonb,"
    " RIGHTARG = jsonb, FUNCTION = pg_temp.never)"
)
SHADOWS = [
    "CREATE TEMP TABLE audit_logs (LIKE public.audit_logs)",
    "CREATE TEMP TABLE organizations (LIKE public.organizations)",
    TEXTS_LIE,
    IDS_LIE,
    NOTHING_DIFFERS,
]


@pytest.mark.parametrize("shadow", SHADOWS)
def test_names_of_a_session_shadow_nothing(shadow):
    """The functions look in the catalog first; whoever may make such names may."""
    model = RegisteredModelFactory()
    ((database,),) = run("SELECT quote_ident(current_database())")
    run(f"GRANT TEMPORARY ON DATABASE {database} TO app_rw")
    path = "SET LOCAL search_path = pg_temp, public, pg_catalog"
    change_as("app_rw", model, shadow, path)
    told = run(
        "SELECT after FROM public.audit_logs WHERE object_id = %s"
        " ORDER BY created_at DESC LIMIT 1",
        model.pk,
    )
    assert told == [('{"description": "changed"}',)]


@pytest.mark.parametrize("role", ["app_rw", "app_maint"])
def test_an_unfiltered_update_is_captured_row_by_row(role):
    models = [RegisteredModelFactory() for _ in range(3)]
    mine = models[0]
    change_as(role, mine, "UPDATE public.registered_models SET description = 'all'")
    reached = {
        entry.object_id
        for entry in entries(action="registry.registered_model.updated")
        if entry.after == {"description": "all"}
    }
    everybody = {model.pk for model in models}
    assert reached == ({mine.pk} if role == "app_rw" else everybody)


def test_work_of_the_owner_of_the_tables_is_captured():
    user = UserFactory()
    with signed_in_as("app_owner"):
        run("RESET app.actor")
        run("UPDATE users SET is_staff = true WHERE id = %s", user.pk)
    entry = entries(object_id=user.pk)[-1]
    assert entry.after == {"is_staff": True}
    assert entry.db_role == "app_owner"
    assert (entry.actor_kind, entry.actor_label) == ("system", "unattributed")


@pytest.mark.parametrize("role", ["app_rw", "app_maint"])
def test_facts_cannot_be_written_past_the_trigger_of_their_table(role):
    """A trigger of statements is silent when a month is written to directly."""
    ((month,),) = run(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'model_monitoring'::regclass LIMIT 1"
    )
    for attempt in (
        f"INSERT INTO {month} SELECT * FROM model_monitoring",
        f"UPDATE {month} SET value = 0",
        f"DELETE FROM {month}",
    ):
        with pytest.raises(DatabaseError) as refusal, signed_in_as(role):
            run(attempt)
        assert refusal.value.__cause__.sqlstate == DENIED


def test_web_role_copies_nothing_into_tables_of_tenants():
    with pytest.raises(DatabaseError) as refusal, signed_in_as("app_rw"):
        run("COPY experiment_tags FROM STDIN")
    assert refusal.value.__cause__.sqlstate == "0A000"

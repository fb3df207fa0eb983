from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.core.checks import Tags, run_checks
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from audit import captured, sql
from audit.checks import problems
from audit.operations import Batches, CaptureBatches, CaptureRows, Rows, noun_of
from audit.tests.trail import run
from registry.models import Metric, ModelVersion
from tenants.models import ApiToken, ServiceAccount, User

MODELS = {label: apps.get_model(label) for label in captured.CAPTURED}
BY_ROWS = {k: how for k, how in captured.CAPTURED.items() if isinstance(how, Rows)}


# The lists


def test_every_governed_model_is_captured_or_exempt():
    lines = captured.lines_to_add(captured.governed_models())
    assert not lines, (
        "add to audit/captured.py, with a migration of audit:\n" + "\n".join(lines)
    )


def test_no_model_is_both_captured_and_exempt():
    assert captured.CAPTURED.keys() & captured.EXEMPT.keys() == set()


def test_lists_name_governed_models_only():
    governed = {model._meta.label for model in captured.governed_models()}
    assert captured.CAPTURED.keys() | captured.EXEMPT.keys() <= governed


def test_line_to_add_is_printed_when_a_model_is_in_neither_list():
    (line,) = captured.lines_to_add([Session, User])
    assert line.startswith('"sessions.Session": Rows(),')
    assert line.endswith('"sessions.Session": "<why it leaves no entry>",')


GOVERNED = [
    ("organization", "tenants.Organization", True),
    ("row of an organization", "registry.Run", True),
    ("fact without a foreign key", "registry.Metric", True),
    ("account", "tenants.User", True),
    ("what refers to an account", "admin.LogEntry", True),
    ("permissions of a group", "auth.Group_permissions", True),
    ("session", "sessions.Session", False),
    ("content type", "contenttypes.ContentType", False),
    ("job", "procrastinate.ProcrastinateJob", False),
]


@pytest.mark.parametrize("_case,label,expected", GOVERNED)
def test_model_is_governed(_case, label, expected):
    assert captured.is_governed(apps.get_model(label)) is expected


# What an entry must not hold

SECRETS = ("password", "secret", "digest", "private_key")
PERSONAL = ("username", "user_name", "first_name", "last_name", "email")
# Says which data a run used; it guards nothing.
NO_SECRET = {
    label: {"digest"} for label in ("registry.Dataset", "registry.EvaluationDataset")
}


def named_like(model: type[models.Model], words: tuple[str, ...]) -> set[str]:
    names = {field.name for field in model._meta.concrete_fields}
    found = {name for name in names if any(word in name for word in words)}
    return found - NO_SECRET.get(model._meta.label, set())


@pytest.mark.parametrize("label", BY_ROWS)
def test_secrets_are_redacted(label):
    assert named_like(MODELS[label], SECRETS) <= set(BY_ROWS[label].redact)


@pytest.mark.parametrize("label", BY_ROWS)
def test_persons_are_not_named(label):
    assert named_like(MODELS[label], PERSONAL) <= set(BY_ROWS[label].personal)


@pytest.mark.parametrize("model,name", [(ApiToken, "digset"), (User, "groups")])
def test_secret_without_a_column_is_an_error(model, name):
    with pytest.raises(FieldDoesNotExist):
        Rows(redact=[name]).definitions(model)


# What is stated


def test_rows_state_their_triggers():
    how = Rows(redact=["digest"], personal=["name"], ignore=["last_used_at"])
    assert how.definitions(ApiToken) == {
        "audit_capture": "CREATE TRIGGER audit_capture AFTER INSERT OR DELETE OR UPDATE"
        " ON api_tokens FOR EACH ROW EXECUTE FUNCTION audit_capture("
        "'tenants.api_token', '{digest}', '{name}', '{updated_at,last_used_at}')",
        "audit_no_truncate": "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE"
        " ON api_tokens FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse("
        "'it would leave no entry, so delete the rows instead')",
    }


def test_batches_state_a_trigger_per_verb():
    stated = Batches(by="run", names="name", span="step").definitions(Metric)
    assert set(stated) == {
        "audit_batch_insert",
        "audit_batch_update",
        "audit_batch_delete",
        "audit_no_truncate",
    }
    assert stated["audit_batch_delete"] == (
        "CREATE TRIGGER audit_batch_delete AFTER DELETE ON run_metrics"
        " REFERENCING OLD TABLE AS batch FOR EACH STATEMENT"
        " EXECUTE FUNCTION audit_capture_batch('registry.metric',"
        " 'experiment_run_id', 'experiment_runs', 'metric_name', 'step', '{id}')"
    )


NOUNS = [
    (ModelVersion, "registry.model_version"),
    (ApiToken, "tenants.api_token"),
    (User, "tenants.user"),
    (User.groups.through, "tenants.user_groups"),
]


@pytest.mark.parametrize("model,expected", NOUNS)
def test_noun_of_a_model(model, expected):
    assert noun_of(model) == expected


# The catalog


@pytest.mark.django_db
def test_catalog_has_the_triggers_that_are_stated_and_no_others():
    stated = {
        (table, name): (text, True)
        for table, texts in captured.definitions().items()
        for name, text in texts.items()
    }
    months = sql.trail(connection)
    found = {
        key: trigger
        for key, trigger in sql.triggers(connection).items()
        if key[0] not in months
    }
    assert found == stated


def complaints(**options):
    """What our checks say; others look at the role that the tests connect with."""
    found = run_checks(tags=[Tags.database], **options)
    return [each for each in found if each.id.startswith("audit.")]


@pytest.mark.django_db
def test_check_is_content_with_what_migrations_make():
    assert complaints(databases=["default"]) == []


@pytest.mark.django_db
def test_check_looks_at_no_database_when_none_is_named():
    run("DROP TRIGGER audit_capture ON experiment_runs")
    assert complaints() == []


SURPLUS = """
CREATE TRIGGER audit_capture AFTER INSERT ON blobs
    FOR EACH ROW EXECUTE FUNCTION audit_capture('a', '{{}}', '{{}}', '{{}}')
"""
UNREDACTED = """
CREATE OR REPLACE TRIGGER audit_capture AFTER INSERT OR UPDATE OR DELETE ON api_tokens
    FOR EACH ROW EXECUTE FUNCTION
    audit_capture('tenants.api_token', '{{}}', '{{}}', '{{}}')
"""
MONTH = "to_char(now() AT TIME ZONE 'UTC', '\"audit_logs_\"YYYY_MM')"
DAMAGES = [
    ("E001", "blobs", SURPLUS),
    ("E002", "experiment_runs", "DROP TRIGGER audit_capture ON experiment_runs"),
    ("E002", "run_metrics", "DROP TRIGGER audit_batch_insert ON run_metrics"),
    ("E002", "{month}", "DROP TRIGGER audit_no_truncate ON {month}"),
    ("E003", "api_tokens", UNREDACTED),
    ("E004", "alerts", "ALTER TABLE alerts DISABLE TRIGGER audit_capture"),
    ("E004", "alerts", "ALTER TABLE alerts ENABLE REPLICA TRIGGER audit_capture"),
    ("E004", "{month}", "ALTER TABLE {month} DISABLE TRIGGER audit_append_only"),
    ("E005", "{month}", "ALTER TABLE {month} OWNER TO app_owner"),
    ("E006", "audit_logs", "GRANT INSERT ON audit_logs TO app_rw"),
    ("E006", "audit_logs", "GRANT UPDATE (reason) ON audit_logs TO app_maint"),
    ("E006", "{month}", "GRANT SELECT ON {month} TO app_ro"),
    ("E006", "PUBLIC", "GRANT SELECT ON audit_logs TO PUBLIC"),
    ("E007", "audit_record", "GRANT EXECUTE ON FUNCTION audit_record TO PUBLIC"),
    ("E007", "audit_append", "GRANT EXECUTE ON FUNCTION audit_append TO app_rw"),
    ("E007", "audit_capture", "ALTER FUNCTION audit_capture OWNER TO app_owner"),
    ("E007", "audit_capture", "ALTER FUNCTION audit_capture SECURITY INVOKER"),
    ("E007", "audit_refuse", "DROP FUNCTION audit_refuse CASCADE"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("identity,what,damage", DAMAGES)
def test_check_reports_damage(identity, what, damage):
    ((month,),) = run(f"SELECT {MONTH}")
    run(damage.format(month=month))
    found = complaints(databases=["default"])
    messages = [error.msg for error in found if error.id == f"audit.{identity}"]
    assert any(what.format(month=month) in message for message in messages), found


@pytest.mark.django_db
def test_check_is_silent_when_our_migrations_are_not_all_applied():
    run("DROP TRIGGER audit_capture ON experiment_runs")
    MigrationRecorder(connection).record_unapplied("audit", "0005_capture_registry")
    assert complaints(databases=["default"]) == []


# Operations


@contextmanager
def as_owner() -> Iterator[BaseDatabaseWrapper]:
    """Lend a session that migrates as the alias `owner` does, and take all back."""
    owner = connection.copy(alias="owner")
    try:
        owner.set_autocommit(False)
        with owner.cursor() as cursor:
            cursor.execute("SET ROLE app_owner")
        yield owner
    finally:
        owner.rollback()
        owner.close()


def capture_of(owner: BaseDatabaseWrapper, table: str) -> dict[str, str]:
    found = sql.triggers(owner).items()
    return {name: text for (where, name), (text, _) in found if where == table}


OPERATIONS = [
    CaptureRows("tenants.ProjectCounter", ignore=["next_value"]),
    CaptureBatches("tenants.ProjectCounter", by="project", names="kind"),
]


@pytest.mark.django_db
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_makes_its_triggers_and_takes_them_back(operation):
    state = MigrationLoader(None).project_state()
    model = apps.get_model("tenants.ProjectCounter")
    with as_owner() as owner:
        editor = owner.schema_editor(atomic=False)
        operation.database_forwards("audit", editor, state, state)
        assert capture_of(owner, "project_counters") == operation.how.definitions(model)
        operation.database_backwards("audit", editor, state, state)
        assert capture_of(owner, "project_counters") == {}


@pytest.mark.django_db
def test_operation_changes_how_a_table_is_captured_and_back():
    state = MigrationLoader(None).project_state()
    before, after = Rows(), Rows(ignore=["description"])
    operation = CaptureRows(
        "tenants.ServiceAccount", ignore=["description"], instead_of=before
    )
    with as_owner() as owner:
        editor = owner.schema_editor(atomic=False)
        operation.database_forwards("audit", editor, state, state)
        present = capture_of(owner, "service_accounts")
        assert present == after.definitions(ServiceAccount)
        operation.database_backwards("audit", editor, state, state)
        present = capture_of(owner, "service_accounts")
        assert present == before.definitions(ServiceAccount)


@pytest.mark.django_db
def test_operation_does_nothing_when_the_alias_is_not_the_owners():
    state = MigrationLoader(None).project_state()
    operation = CaptureRows("tenants.ProjectCounter")
    editor = connection.schema_editor(atomic=False)
    operation.database_forwards("audit", editor, state, state)
    assert capture_of(connection, "project_counters") == {}


@pytest.mark.django_db
def test_problems_have_a_hint_each():
    run("GRANT INSERT ON audit_logs TO app_rw")
    (problem,) = problems(connection)
    assert problem[:2] == ("audit.E006", "app_rw has INSERT on audit_logs.")
    assert problem[2].startswith("Revoke it")

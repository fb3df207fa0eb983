"""Attempts on the trail and on its triggers, all of which must fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from audit.tests.trail import entries, run
from tenants.tests.factories import OrganizationFactory

pytestmark = pytest.mark.django_db

INSERT = """
INSERT INTO audit_logs
SELECT (jsonb_populate_record(l, jsonb_build_object('id', uuid7_at(now())))).*
FROM audit_logs l LIMIT 1
"""
CALL = """
SELECT audit_append(NULL, NULL, 'tenants.user.deleted', 'ok', '', NULL, '', NULL, NULL)
"""
DENIED = "permission denied|must be owner|must be able to SET ROLE"
STAYS = "audit entries stay as they are"


@pytest.fixture
def month() -> str:
    """Return the partition that holds an entry, which this makes."""
    OrganizationFactory()
    ((name,),) = run("SELECT DISTINCT tableoid::regclass::text FROM audit_logs")
    return name


@contextmanager
def signed_in_as(role: str) -> Iterator[None]:
    """Be a role that cannot go back to the superuser who runs the tests."""
    with transaction.atomic():
        run(f"SET LOCAL SESSION AUTHORIZATION {role}")
        yield
        run("RESET SESSION AUTHORIZATION")


ATTEMPTS = [
    ("add an entry", INSERT),
    ("add an entry to a month", "INSERT INTO {month} SELECT * FROM {month}"),
    ("change entries", "UPDATE audit_logs SET reason = 'none'"),
    ("change entries of a month", "UPDATE {month} SET reason = 'none'"),
    ("delete entries", "DELETE FROM audit_logs"),
    ("delete entries of a month", "DELETE FROM {month}"),
    ("truncate the trail", "TRUNCATE audit_logs"),
    ("truncate a month", "TRUNCATE {month}"),
    ("read a month", "SELECT * FROM {month}"),
    ("copy a month", "COPY {month} TO STDOUT"),
    ("detach a month", "ALTER TABLE audit_logs DETACH PARTITION {month}"),
    ("call the writer", CALL),
    ("disable a trigger", "ALTER TABLE audit_logs DISABLE TRIGGER ALL"),
    ("drop a trigger", "DROP TRIGGER audit_append_only ON audit_logs"),
    ("switch row security off", "ALTER TABLE audit_logs DISABLE ROW LEVEL SECURITY"),
    ("open the policy", "ALTER POLICY audit_logs_tenant ON audit_logs USING (true)"),
    ("take the table", "ALTER TABLE audit_logs OWNER TO CURRENT_USER"),
    ("stop all triggers", "SET LOCAL session_replication_role = replica"),
]
# The owner of the tables owns the database, with it the schema, and so could do these.
# It migrates; nothing that serves people signs in as it.
NOT_BY_THE_OWNER_OF_TABLES = [
    ("drop a month", "DROP TABLE {month}"),
    ("drop a function", "DROP FUNCTION audit_capture() CASCADE"),
    ("disable capture", "ALTER TABLE experiment_runs DISABLE TRIGGER audit_capture"),
    ("drop capture", "DROP TRIGGER audit_capture ON experiment_runs"),
    ("truncate a captured table", "TRUNCATE alerts CASCADE"),
    ("become the owner of the trail", "SET LOCAL ROLE audit_owner"),
    ("become the owner of the tables", "SET LOCAL ROLE app_owner"),
]
CASES = [
    (role, what, attempt)
    for role in ("app_rw", "app_maint")
    for what, attempt in ATTEMPTS + NOT_BY_THE_OWNER_OF_TABLES
] + [("app_owner", what, attempt) for what, attempt in ATTEMPTS]


@pytest.mark.parametrize(
    "role,what,attempt", CASES, ids=[f"{role}: {what}" for role, what, _ in CASES]
)
def test_role_is_refused(role, what, attempt, month):
    before = entries()
    with (
        pytest.raises(DatabaseError, match=DENIED) as refusal,
        signed_in_as(role),
    ):
        run(attempt.format(month=month))
    assert refusal.value.__cause__.sqlstate == "42501"
    assert entries() == before


BY_THE_OWNER = [
    ("change entries", "UPDATE audit_logs SET reason = 'none'"),
    ("change entries of a month", "UPDATE {month} SET reason = 'none'"),
    ("delete entries", "DELETE FROM audit_logs"),
    ("delete entries of a month", "DELETE FROM {month}"),
    ("truncate the trail", "TRUNCATE audit_logs"),
    ("truncate a month", "TRUNCATE {month}"),
]


@pytest.mark.parametrize(
    "what,attempt", BY_THE_OWNER, ids=[what for what, _ in BY_THE_OWNER]
)
def test_superuser_is_stopped_by_triggers(what, attempt, month):
    before = entries()
    with pytest.raises(IntegrityError, match=STAYS), transaction.atomic():
        run(attempt.format(month=month))
    assert entries() == before


@pytest.mark.parametrize("table", ["audit_logs", "{month}"])
def test_owner_of_the_trail_may_not_truncate(table, month):
    with signed_in_as("app_owner"):
        run("SET LOCAL ROLE audit_owner")
        with pytest.raises(IntegrityError, match=STAYS), transaction.atomic():
            run(f"TRUNCATE {table.format(month=month)}")


@pytest.mark.parametrize("attempt", ["UPDATE {} SET reason = ''", "DELETE FROM {}"])
@pytest.mark.parametrize("is_month", [False, True])
def test_owner_of_the_trail_may_not_change_or_delete(attempt, is_month, month):
    """FORCE leaves it a policy that adds; triggers stop it on a month, too."""
    before = entries()
    with signed_in_as("app_owner"):
        run("SET LOCAL ROLE audit_owner")
        if is_month:
            with pytest.raises(IntegrityError, match=STAYS), transaction.atomic():
                run(attempt.format(month))
        else:
            run(attempt.format("audit_logs"))
    assert entries() == before


def test_every_month_refuses_truncation():
    """The trigger of a statement is not inherited: each month has its own."""
    months = run(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'audit_logs'::regclass"
    )
    assert len(months) >= 5
    for (name,) in months:
        with pytest.raises(IntegrityError, match=STAYS), transaction.atomic():
            run(f"TRUNCATE {name}")

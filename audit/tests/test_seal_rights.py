"""Attempts on seals, and what each role may see of them."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from audit.seals import NO_HASH
from audit.tests.factories import make_seal
from audit.tests.test_append_only import signed_in_as
from audit.tests.trail import run
from mlops.db.uuid7 import uuid7

pytestmark = pytest.mark.django_db
ACME, UMBRELLA = uuid7(), uuid7()

CALL = """
SELECT audit_seal(%s, %s, 1::smallint, 1, 1, %s, 0, 9223372036854775807, 9, NULL, NULL,
                  0, 0, '', '', %s, '', now(), '', 'key')
"""
NIL = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("role", ["app_rw", "app_owner", "app_ro"])
def test_others_may_not_call_the_function(role):
    with pytest.raises(DatabaseError, match="permission denied"), signed_in_as(role):
        run(CALL, None, 1, NIL, NO_HASH)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_seals SET n = 2",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals",
        "INSERT INTO audit_seals SELECT * FROM audit_seals",
        "DELETE FROM audit_anchors",
    ],
)
@pytest.mark.parametrize("role", ["app_rw", "app_maint", "app_owner"])
def test_roles_cannot_change_seals(role, statement):
    make_seal(ACME)
    with pytest.raises(DatabaseError, match="permission denied"), signed_in_as(role):
        run(statement)


@pytest.mark.parametrize("table", ["audit_seals", "audit_anchors"])
def test_superuser_is_stopped_by_triggers(table):
    make_seal(ACME)
    run(
        "INSERT INTO audit_anchors SELECT uuid7_at(now()), 'x', now(), 1, 1, 1, '{}'",
    )
    for attempt in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with (
            pytest.raises(IntegrityError, match="stay as they are"),
            transaction.atomic(),
        ):
            run(attempt)


@pytest.mark.parametrize(
    "n,prev_hash", [(1, NO_HASH), (3, NO_HASH), (2, b"x" * 32), (2, NO_HASH)]
)
def test_seal_that_does_not_continue_its_chain_is_refused(n, prev_hash):
    """The last of them reaches no further than the one before it."""
    make_seal(ACME)
    with pytest.raises(IntegrityError, match="does not continue the chain"):
        run(CALL, ACME, n, NIL, prev_hash)


def test_an_organization_reads_its_own_seals_only():
    for organization in (ACME, UMBRELLA, None):
        make_seal(organization)
    with signed_in_as("app_rw"):
        run("SELECT set_config('app.organization_id', %s, true)", str(ACME))
        assert run("SELECT DISTINCT organization_id FROM audit_seals") == [(ACME,)]

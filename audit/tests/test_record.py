from __future__ import annotations

from uuid import UUID

import pytest
from django.db import DataError, IntegrityError, ProgrammingError, transaction

from audit.tests.trail import act_as, entries, only_entry, run
from conftest import web_role
from tenants.context import Actor, acting_as, record, tenant_transaction
from tenants.unscoped import every_organization

pytestmark = pytest.mark.django_db


def acting_alice(cast) -> Actor:
    return Actor(
        kind="user",
        id=cast.alice.pk,
        token="abcdefABCDEF",
        organization_id=cast.acme.pk,
    )


def test_record_takes_all_it_needs_from_the_context(cast):
    with (
        web_role(),
        tenant_transaction(acting_alice(cast), request_line="req-1", reason="quarter"),
    ):
        record("export.finished", target=cast.fraud, rows=3)
    entry = only_entry(action="export.finished")
    assert entry.organization_id == cast.acme.pk
    assert (entry.object_type, entry.object_id) == ("projects", cast.fraud.pk)
    assert entry.project_id == cast.fraud.pk
    assert (entry.actor_kind, entry.actor_id) == ("user", cast.alice.pk)
    assert entry.token_public_id == "abcdefABCDEF"
    assert (entry.request_id, entry.reason) == ("req-1", "quarter")
    assert (entry.outcome, entry.before, entry.after) == ("ok", None, {"rows": 3})


def test_record_needs_neither_target_nor_details(cast):
    with acting_as("command:seal", organization=cast.acme.pk):
        record("trail.verified", outcome="failed")
    entry = only_entry(action="trail.verified")
    assert (entry.object_type, entry.object_id, entry.after) == ("", None, None)
    assert entry.outcome == "failed"


def test_record_is_of_the_instance_when_no_organization_is_bound(db):
    act_as("anonymous:")
    with web_role():
        record("sign_in.refused", outcome="denied", reason="password")
    entry = only_entry(action="sign_in.refused")
    assert entry.organization_id is None
    assert (entry.actor_kind, entry.actor_label) == ("anonymous", "")
    assert entry.after == {"reason": "password"}


def test_record_is_told_to_the_organization_that_staff_looks_at(cast):
    staff = Actor(kind="staff", id=cast.mallory.pk)
    with every_organization(staff, reason="ticket 7"):
        record("support.viewed", target=cast.acme)
    assert only_entry(action="support.viewed").organization_id == cast.acme.pk


def test_record_leaves_nothing_when_its_transaction_is_rolled_back(cast):
    with transaction.atomic():
        record("export.finished")
        assert len(entries(action="export.finished")) == 1
        transaction.set_rollback(True)
    assert entries(action="export.finished") == []


def test_record_shortens_long_details(cast):
    record("export.finished", query="x" * 5000)
    assert only_entry(action="export.finished").after["query"]["size_bytes"] == 5000


# An entry of a captured row has three words: nobody can make one up.
BAD_ACTIONS = [
    "registry.run.deleted",
    "export",
    "",
    "export.",
    "Export.finished",
    "export.finished\n",
]


@pytest.mark.parametrize("action", BAD_ACTIONS)
def test_record_refuses_an_action_that_is_not_noun_and_verb(action, db):
    with pytest.raises(DataError, match=r"not noun\.verb"), transaction.atomic():
        record(action)


def test_record_refuses_an_unknown_outcome(db):
    with pytest.raises(IntegrityError, match="outcome"), transaction.atomic():
        record("export.finished", outcome="maybe")


@pytest.mark.parametrize("role", ["app_owner", "app_ro"])
def test_record_is_refused_to_roles_without_business_there(role, db):
    run(f"SET LOCAL ROLE {role}")
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        transaction.atomic(),
    ):
        record("export.finished")


def test_function_returns_the_id_of_the_entry(db):
    arguments = "'export.finished', 'ok', '', NULL, '{}'"
    ((identity,),) = run(f"SELECT audit_record({arguments})")
    assert isinstance(identity, UUID)
    assert only_entry(id=identity).action == "export.finished"

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditLog
from mlops.db.uuid7 import uuid7
from registry.tests.factories import ExperimentFactory
from tenants.context import Actor
from tenants.services.projects import update_project
from tenants.tests.factories import (
    MembershipFactory,
    ProjectFactory,
    ServiceAccountFactory,
)
from tenants.tests.superuser import (
    AdminClient,
    page_of,
    rows_of,
    shown,
    superuser,
)
from tenants.unscoped import every_organization


@pytest.fixture
def root(db) -> AdminClient:
    return superuser()


def latest(action: str) -> AuditLog:
    return AuditLog._base_manager.filter(action=action).latest("id")


def test_the_list_costs_the_same_for_any_number_of_entries(root):
    ProjectFactory()
    root.listed("audit_auditlog")
    counts = [root.statements("audit_auditlog")]
    for more in (19, 40):
        MembershipFactory.create_batch(more)
        counts.append(root.statements("audit_auditlog"))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 13  # with SET ROLE, savepoints, session, user and the trail


def test_the_list_names_actor_object_and_organization(root, cast):
    root.act("delete_rows", cast.churn, confirmed="1", reason="cleaning up")
    page = shown(root.listed("audit_auditlog"))
    for piece in ("tenants.project.soft_deleted", "root", "Churn", "cleaning up"):
        assert piece in page
    assert page_of(cast.churn) in page


def test_a_service_account_is_named_as_actor(root, cast):
    account = ServiceAccountFactory(organization=cast.acme, name="nightly")
    actor = Actor(kind="service", id=account.pk)
    with every_organization(actor, reason="test"):
        update_project(cast.fraud, name="Fraud desk")
    assert "nightly" in shown(root.listed("audit_auditlog"))


def test_an_entry_shows_what_was_and_what_is(root, cast):
    with every_organization(Actor(kind="command", label="test"), reason="test"):
        update_project(cast.fraud, description="<b>bold</b> words", name="Fraud 2")
    page = shown(root.opened(latest("tenants.project.updated")))
    assert "Fraud 2" in page
    assert page.index("mp-was") < page.index("mp-is")
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page
    assert "slug" not in page.split("Changes")[1].split("Other entries")[0]


def test_an_entry_of_a_new_row_shows_all_of_it(root, cast):
    page = shown(root.opened(latest("tenants.project.created")))
    changes = page.split("Changes")[1].split("Other entries")[0]
    assert "slug" in changes
    assert "mp-was" not in changes


def test_an_entry_leads_to_the_history_of_its_object(root, cast):
    with every_organization(Actor(kind="command", label="test"), reason="test"):
        update_project(cast.fraud, name="Fraud 2")
    entry = latest("tenants.project.updated")
    created = AuditLog._base_manager.get(
        action="tenants.project.created", object_id=cast.fraud.pk
    )
    assert page_of(created) in shown(root.opened(entry))
    page = shown(root.get(page_of(entry, "history"), follow=True))
    assert page_of(entry) in page
    assert page_of(created) in page


def test_entries_can_be_narrowed(root, cast):
    ExperimentFactory(project=cast.umbrella_fraud)
    slugs = root.listed("audit_auditlog", organization="umbrella")
    assert {entry.organization_id for entry in rows_of(slugs)} == {cast.umbrella.pk}
    action = root.listed("audit_auditlog", action="tenants.project.created")
    assert len(rows_of(action)) == 3
    assert rows_of(root.listed("audit_auditlog", organization="nobody")) == []
    assert rows_of(root.listed("audit_auditlog", object_id="no id")) == []
    denied = root.listed("audit_auditlog", outcome="denied")
    assert rows_of(denied) == []


def test_entries_of_no_organization_can_be_found(root, cast):
    found = rows_of(root.listed("audit_auditlog", organization="none"))
    assert found
    assert {entry.organization_id for entry in found} == {None}


def test_nobody_adds_changes_or_deletes_an_entry(root, cast):
    entry = latest("tenants.project.created")
    assert root.post(page_of(entry), {"action": "nothing.happened"}).status_code == 403
    assert root.post(page_of(entry, "delete"), {"post": "yes"}).status_code == 403
    assert root.post("/admin/audit/auditlog/add/", {}).status_code == 403
    assert "_selected_action" not in shown(root.listed("audit_auditlog"))


def test_an_entry_that_is_not_there_is_no_page(root):
    missing = AuditLog(id=uuid7())
    response = root.get(page_of(missing))
    assert response.status_code == 302
    assert response["Location"] == "/admin/"


def test_looks_do_not_crowd_the_overview(root, cast):
    for _ in range(10):
        root.opened(cast.fraud)
    page = shown(root.get("/admin/"))
    assert "tenants.project.created" in page
    assert "admin.viewed" not in page


def test_the_overview_reads_a_bounded_part_of_the_trail(root, cast):
    with CaptureQueriesContext(connection) as captured:
        root.get("/admin/")
    reads = [q["sql"] for q in captured if 'FROM "audit_logs"' in q["sql"]]
    # The newest, where the newest to be counted end, and how many of them are bad.
    assert len(reads) == 3
    assert "LIMIT 500" in reads[0]
    assert "LIMIT 1 OFFSET 9999" in reads[1]
    assert all('"id" >=' in read for read in reads[1:])

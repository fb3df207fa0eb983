"""The history of an object on its page, and of what no page shows any more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.admin.history import captured_tables
from audit.captured import CAPTURED
from audit.models import AuditLog
from audit.tests.trail import act_as, entries, only_entry, run
from conftest import WebClient
from mlops.db.uuid7 import uuid7
from registry.tests.factories import ExperimentFactory
from tenants.admin import TenantAdmin
from tenants.context import Actor
from tenants.models import Project
from tenants.services.projects import delete_project, update_project
from tenants.tests.factories import SupportGrantFactory, UserFactory
from tenants.tests.superuser import AdminClient, page_of, shown, superuser
from tenants.unscoped import every_organization

PAGE = "/admin/audit/auditlog/history/"


@pytest.fixture
def root(db) -> AdminClient:
    return superuser()


@pytest.fixture
def alice_acts(cast):
    return every_organization(Actor(kind="user", id=cast.alice.pk), reason="ticket 7")


def history(client, row) -> str:
    response = client.get(page_of(row, "history"), follow=True)
    assert response.status_code == 200
    return shown(response)


@pytest.mark.parametrize("row", ["acme", "fraud", "alice"])
def test_the_page_of_a_row_leads_to_its_history(root, cast, row):
    stored = getattr(cast, row)
    assert page_of(stored, "history") in shown(root.opened(stored))
    page = history(root, stored)
    created = entries(object_id=stored.pk)[0]
    assert page_of(created) in page
    assert "Created with" in page


def test_a_history_says_who_did_what_when_and_why(root, cast, alice_acts):
    with alice_acts:
        update_project(cast.fraud, name="Fraud <desk>", description="new")
    page = history(root, cast.fraud)
    for piece in ("alice", "ticket 7", "Changed description", "Fraud &lt;desk&gt;"):
        assert piece in page
    assert page_of(cast.alice) in page
    assert page_of(cast.fraud) in page  # the way back


def test_a_deleted_row_has_its_history(root, cast, alice_acts):
    with alice_acts:
        delete_project(cast.fraud)
    page = history(root, cast.fraud)
    assert ">Deleted</a>" in page, page[page.index("Newest first") :][:1500]


def test_what_is_gone_for_good_is_found_by_type_and_id(root, cast):
    experiment = ExperimentFactory(project=cast.churn, name="lost and found")
    act_as("command:purge", reason="past its time")
    run("DELETE FROM experiments WHERE id = %s", experiment.pk)
    asked = {"object_type": "experiments", "object_id": str(experiment.pk)}
    for words in ({}, {"organization": "acme"}, {"organization": str(cast.acme.pk)}):
        page = shown(root.get(PAGE, {**asked, **words}))
        assert "History of experiment lost and found" in page
        assert "past its time" in page
        assert "Deleted for good" in page
    assert "No entries" in shown(root.get(PAGE, {**asked, "organization": "umbrella"}))
    assert "No entries" in shown(root.get(PAGE, {**asked, "organization": "nobody"}))
    assert "past its time" in history(root, experiment)


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"object_type": "projects", "object_id": "7"}, "object_id=&#x27;7&#x27;"),
        ({"object_type": "models", "object_id": str(uuid7())}, "is no table"),
        ({"actor_id": "alice"}, "actor_id=&#x27;alice&#x27;"),
        ({"actor_id": str(uuid7()), "before": "x"}, "before=&#x27;x&#x27;"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_on_the_page(root, asked, said):
    assert said in shown(root.get(PAGE, asked))


def test_the_page_alone_asks_whose_history(root):
    page = shown(root.get(PAGE))
    assert "Whose history" in page
    assert all(f'value="{table}"' in page for table in captured_tables())


def test_an_id_that_was_never_there_has_no_history(root, cast):
    assert "No entries" in history(root, Project(pk=uuid7()))


def test_a_long_history_has_pages(root, cast):
    for number in range(60):
        with every_organization(Actor(kind="command", label="x"), reason="x"):
            update_project(cast.fraud, name=f"Name {number:02}")
    page = history(root, cast.fraud)
    assert "Name 59" in page
    assert "Older entries" in page
    older = page.split("Older entries")[0].rsplit('href="', 1)[1].split('"')[0]
    page = shown(root.get(older.replace("&amp;", "&")))
    assert "Name 59" not in page
    assert "Created with" in page
    assert "Older entries" not in page


def test_a_user_page_leads_to_what_they_did(root, cast, alice_acts):
    with alice_acts:
        update_project(cast.fraud, name="By Alice")
    page = shown(root.opened(cast.alice))
    asked = {"organization": str(cast.acme.pk), "actor_id": str(cast.alice.pk)}
    address = f"{PAGE}?organization={cast.acme.pk}&amp;actor_id={cast.alice.pk}"
    assert address in page
    page = shown(root.get(PAGE, asked))
    assert "What one actor did" in page
    assert "By Alice" in page
    elsewhere = {**asked, "organization": str(cast.umbrella.pk)}
    assert "By Alice" not in shown(root.get(PAGE, elsewhere))


def test_a_history_costs_the_same_however_long_it_is(root, cast):
    counts = []
    history(root, cast.fraud)
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            history(root, cast.fraud)
        counts.append(len(captured))
        for number in range(30):
            with every_organization(Actor(kind="command", label="x"), reason="x"):
                update_project(cast.fraud, name=f"Name {number}")
    assert counts[0] == counts[1]


def test_every_captured_model_with_a_page_has_a_history():
    """Django finds history_view on the admin of a model: each must be ours."""
    pages = {model._meta.label: kind for model, kind in admin.site._registry.items()}
    shown_models = [label for label in CAPTURED if label in pages]
    assert len(shown_models) > 20
    for label in shown_models:
        assert isinstance(pages[label], TenantAdmin), label
        assert apps.get_model(label)._meta.db_table in captured_tables()
        model = apps.get_model(label)._meta
        name = f"admin:{model.app_label}_{model.model_name}_history"
        assert reverse(name, args=[uuid7()])


# Staff that looks is told of


def test_looking_at_a_history_is_told_to_whose_it_is(root, cast):
    history(root, cast.fraud)
    entry = only_entry(action="admin.viewed", object_type="projects")
    assert (entry.organization_id, entry.object_id) == (cast.acme.pk, cast.fraud.pk)
    assert entry.after["path"] == PAGE


def test_looking_at_what_is_purged_is_told_too(root, cast):
    experiment = ExperimentFactory(project=cast.churn)
    run("DELETE FROM experiments WHERE id = %s", experiment.pk)
    history(root, experiment)
    entry = only_entry(action="admin.viewed", object_type="experiments")
    assert (entry.organization_id, entry.object_id) == (cast.acme.pk, experiment.pk)


def test_looking_at_what_somebody_did_is_told_in_that_organization(root, cast):
    asked = {"organization": "acme", "actor_id": str(cast.alice.pk)}
    with every_organization(Actor(kind="user", id=cast.alice.pk), reason="x"):
        update_project(cast.fraud, name="By Alice")
    root.get(PAGE, asked)
    looks = entries(action="admin.viewed", organization_id=cast.acme.pk)
    assert [entry.after["path"] for entry in looks] == [PAGE]


@pytest.fixture
def sam_in_acme(cast) -> WebClient:
    sam = UserFactory(username="sam", is_staff=True)
    now = timezone.now()
    grant = SupportGrantFactory(
        organization=cast.acme,
        staff=sam,
        approved_by=cast.alice.pk,
        approved_at=now,
        expires_at=now + timedelta(hours=1),
    )
    client = WebClient()
    client.force_login(sam)
    client.post("/admin/support/", {"do": "enter", "grant": str(grant.pk)})
    return client


def test_staff_by_a_grant_sees_the_histories_of_that_organization(sam_in_acme, cast):
    assert "Created with" in history(sam_in_acme, cast.fraud)
    assert only_entry(action="admin.viewed", object_type="projects")
    theirs = cast.umbrella_fraud
    asked = {"object_type": "projects", "object_id": str(theirs.pk)}
    for words in ({}, {"organization": "umbrella"}, {"organization": "none"}):
        assert "No entries" in shown(sam_in_acme.get(PAGE, {**asked, **words}))


def test_a_history_is_for_staff(cast):
    client = WebClient()
    client.force_login(cast.alice)
    assert client.get(PAGE).status_code in (302, 403)


# Unattributed changes


def test_the_overview_counts_unattributed_changes(root, cast):
    before = AuditLog._base_manager.filter(actor_label="unattributed").count()
    run("UPDATE projects SET name = 'x' WHERE id = %s", cast.fraud.pk)
    page = shown(root.get("/admin/"))
    tile = page.split("Unattributed changes")[1][:400]
    assert f"{before + 1:,}" in tile
    asked = {"age": "24", "actor_kind": "system", "actor_label": "unattributed"}
    listed = root.listed("audit_auditlog", **asked)
    assert len(listed.context["cl"].result_list) == before + 1


def test_unattributed_changes_are_found_by_rest(alice, cast):
    run("UPDATE projects SET name = 'x' WHERE id = %s", cast.fraud.pk)
    query = "actor_kind=system&actor_label=unattributed&action=tenants.project.updated"
    address = f"/api/v1/organizations/acme/audit-logs/?{query}"
    (found,) = alice.get(address).json()["results"]
    assert found["after"] == {"name": "x"}

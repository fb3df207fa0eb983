"""Support grants: staff enters one organization, by an owner's word, in plain sight."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.utils import timezone

from audit.models import AuditLog
from conftest import WebClient
from registry.models import Experiment
from registry.tests.factories import ExperimentFactory
from tenants.models import Project, SupportGrant
from tenants.tests.factories import (
    MembershipFactory,
    SupportGrantFactory,
    UserFactory,
    make_api_token,
)
from tenants.tests.superuser import page_of, shown

SUPPORT = "/admin/support/"
GRANTS = "/api/v1/organizations/acme/support-grants/"
JSON = {"content_type": "application/json"}
REASON = "a failing upload, ticket 17"


@pytest.fixture
def sam(cast):
    """Sam of the staff, no superuser, member of nothing."""
    return UserFactory(username="sam", is_staff=True)


@pytest.fixture
def browser(sam) -> WebClient:
    client = WebClient()
    client.force_login(sam)
    return client


def live_grant(cast, sam, **fields) -> SupportGrant:
    now = timezone.now()
    times = {"approved_at": now, "expires_at": now + timedelta(hours=1)}
    row = {"organization": cast.acme, "staff": sam, "approved_by": cast.alice.pk}
    return SupportGrantFactory(**{**row, **times, **fields})


def enter(browser, grant):
    return browser.post(SUPPORT, {"do": "enter", "grant": str(grant.pk)})


@pytest.fixture
def inside(cast, sam, browser) -> WebClient:
    """Sam, reading in acme."""
    assert enter(browser, live_grant(cast, sam)).status_code == 302
    return browser


@pytest.fixture
def writing(cast, sam, browser) -> WebClient:
    assert enter(browser, live_grant(cast, sam, may_write=True)).status_code == 302
    return browser


def entries(organization, action: str) -> list[AuditLog]:
    trail = AuditLog._base_manager.filter(organization_id=organization.pk)
    return list(trail.filter(action=action).order_by("pk"))


# Asking


def ask(browser, **fields):
    asked = {"organization": "acme", "reason": REASON, "hours": "2"}
    return browser.post(SUPPORT, {"do": "ask", **asked, **fields})


def test_a_question_opens_nothing_and_tells_the_owners(
    browser, cast, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        assert ask(browser).status_code == 302
    grant = SupportGrant._base_manager.get()
    assert (grant.state, grant.hours, grant.may_write) == ("pending", 2, False)
    assert (grant.reason, grant.organization_id) == (REASON, cast.acme.pk)
    (told,) = mail.outbox
    assert told.to == [cast.alice.email]
    assert REASON in told.body
    assert f"{grant.pk}/approve/" in told.body
    assert enter(browser, grant).status_code == 302
    assert browser.get("/admin/").status_code == 403
    assert len(entries(cast.acme, "tenants.support_grant.created")) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "look"},
        {"reason": " " * 40},
        {"hours": "0"},
        {"hours": "9"},
        {"organization": "never-existed"},
        {"organization": "Not A Slug"},
    ],
)
def test_a_question_without_substance_is_not_asked(browser, fields):
    ask(browser, **fields)
    assert not SupportGrant._base_manager.exists()


def test_one_question_is_open_at_a_time_and_a_stale_one_is_forgotten(browser):
    ask(browser)
    ask(browser)
    assert SupportGrant._base_manager.count() == 1
    week_ago = timezone.now() - timedelta(days=8)
    SupportGrant._base_manager.update(created_at=week_ago)
    ask(browser)
    states = {grant.state for grant in SupportGrant._base_manager.all()}
    assert states == {"revoked", "pending"}


def test_breaking_the_glass_is_loud(browser, cast, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        ask(browser, break_glass="on")
    grant = SupportGrant._base_manager.get()
    assert (grant.state, grant.approved_by) == ("live", None)
    (entry,) = entries(cast.acme, "support.glass_broken")
    assert entry.after == {"why": REASON, "hours": 2}
    assert "broken the glass" in mail.outbox[0].body
    enter(browser, grant)
    assert browser.get("/admin/").status_code == 200


# Approving


@pytest.fixture
def question(cast, sam) -> SupportGrant:
    return SupportGrantFactory(
        organization=cast.acme, staff=sam, reason=REASON, hours=4, may_write=True
    )


def test_an_owner_approves_what_was_asked(alice, question):
    answer = alice.post(f"{GRANTS}{question.pk}/approve/", {}, **JSON)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["state"], body["may_write"], body["staff"]) == ("live", True, "sam")
    question.refresh_from_db()
    assert question.expires_at - question.approved_at == timedelta(hours=4)


def test_an_owner_approves_less_than_was_asked(alice, question):
    less = {"hours": 1, "may_write": False}
    assert (
        alice.post(f"{GRANTS}{question.pk}/approve/", less, **JSON).status_code == 200
    )
    question.refresh_from_db()
    assert question.expires_at - question.approved_at == timedelta(hours=1)
    assert not question.may_write


@pytest.mark.parametrize("more", [{"hours": 5}, {"hours": 9}, {"hours": 0}, {"x": 1}])
def test_nobody_approves_more_than_was_asked(alice, question, more):
    assert (
        alice.post(f"{GRANTS}{question.pk}/approve/", more, **JSON).status_code == 400
    )
    question.refresh_from_db()
    assert question.state == "pending"


def test_writing_is_not_granted_where_reading_was_asked(alice, cast, sam):
    grant = SupportGrantFactory(organization=cast.acme, staff=sam)
    body = {"may_write": True}
    assert alice.post(f"{GRANTS}{grant.pk}/approve/", body, **JSON).status_code == 400


def test_only_owners_approve_and_admins_may_revoke(cast, question, make_client):
    admin = make_client("admin")
    assert admin.get(f"{GRANTS}{question.pk}/").status_code == 200
    assert admin.post(f"{GRANTS}{question.pk}/approve/", {}, **JSON).status_code == 403
    assert admin.post(f"{GRANTS}{question.pk}/revoke/").status_code == 200
    member = make_client("member")
    for path in ("", f"{question.pk}/"):
        assert member.get(GRANTS + path).status_code == 403
    assert member.post(f"{GRANTS}{question.pk}/revoke/").status_code == 403


@pytest.fixture
def make_client(cast):
    def make(role: str) -> WebClient:
        user = UserFactory()
        MembershipFactory(organization=cast.acme, user=user, role=role)
        token = make_api_token(user, cast.acme).text
        return WebClient(headers={"authorization": f"Bearer {token}"})

    return make


def test_nobody_approves_for_themselves(cast, sam, question):
    MembershipFactory(organization=cast.acme, user=sam, role="owner")
    token = make_api_token(sam, cast.acme).text
    own = WebClient(headers={"authorization": f"Bearer {token}"})
    assert own.post(f"{GRANTS}{question.pk}/approve/", {}, **JSON).status_code == 403


def test_a_grant_is_approved_once(alice, question):
    address = f"{GRANTS}{question.pk}/"
    assert alice.post(f"{address}approve/", {}, **JSON).status_code == 200
    assert alice.post(f"{address}approve/", {}, **JSON).status_code == 400
    assert alice.post(f"{address}revoke/").json()["state"] == "revoked"
    assert alice.post(f"{address}revoke/").json()["state"] == "revoked"
    assert alice.post(f"{address}approve/", {}, **JSON).status_code == 400


def test_another_organizations_owner_finds_no_grant(mallory, question):
    assert (
        mallory.post(f"{GRANTS}{question.pk}/approve/", {}, **JSON).status_code == 404
    )
    theirs = GRANTS.replace("acme", "umbrella")
    response = mallory.post(f"{theirs}{question.pk}/approve/", {}, **JSON)
    assert response.status_code == 404


# Inside


def test_staff_sees_the_one_organization_and_no_other(inside, cast):
    page = shown(inside.get("/admin/tenants/project/"))
    assert "fraud" in page
    assert "churn" in page
    assert "umbrella" not in page
    assert inside.get(page_of(cast.fraud)).status_code == 200
    assert inside.get(page_of(cast.umbrella_fraud)).status_code == 302
    assert "Umbrella" not in shown(inside.get("/admin/"))


def test_both_locks_hold_inside(inside, cast, monkeypatch):
    """What a page reads past the scoped managers, row-level security keeps away."""
    seen = []

    def look() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT slug FROM organizations ORDER BY slug")
            seen.extend(slug for (slug,) in cursor.fetchall())
        return "role"

    monkeypatch.setattr(
        "tenants.admin.organizations.OrganizationAdmin.search_help_text",
        property(lambda self: look()),
    )
    assert inside.get("/admin/tenants/organization/").status_code == 200
    assert set(seen) == {"acme"}


@pytest.mark.parametrize("path", ["tenants/user/", "procrastinate/procrastinatejob/"])
def test_staff_sees_no_account_and_no_job(inside, cast, path):
    assert inside.get(f"/admin/{path}").status_code == 403
    assert entries(cast.acme, "admin.entered")[-1].outcome == "denied"


def test_every_page_is_in_the_organizations_trail(inside, cast, sam):
    ExperimentFactory(project=cast.fraud)
    paths = ["/admin/", "/admin/registry/experiment/", page_of(cast.fraud)]
    for path in paths:
        assert inside.get(path).status_code == 200
    looks = entries(cast.acme, "admin.viewed")
    assert [look.after["path"] for look in looks] == paths
    assert {(look.actor_kind, look.actor_id) for look in looks} == {("staff", sam.pk)}
    assert looks[-1].object_id == cast.fraud.pk
    assert len(entries(cast.acme, "support.entered")) == 1


def test_reading_only_changes_nothing(inside, cast):
    experiment = ExperimentFactory(project=cast.fraud)
    chosen = {"action": "delete_rows", "_selected_action": str(experiment.pk)}
    address = "/admin/registry/experiment/"
    assert inside.post(address, {**chosen, "confirmed": "1"}).status_code == 403
    assert inside.post(page_of(experiment), {"name": "other"}).status_code == 403
    experiment.refresh_from_db()
    assert experiment.deleted_at is None
    assert {e.outcome for e in entries(cast.acme, "admin.entered")} == {"denied"}


def test_a_grant_that_may_write_changes_what_is_of_the_registry(writing, cast):
    experiment = ExperimentFactory(project=cast.fraud)
    chosen = {"action": "delete_rows", "_selected_action": str(experiment.pk)}
    address = "/admin/registry/experiment/"
    writing.post(address, {**chosen, "confirmed": "1", "reason": "as asked"})
    row = Experiment._base_manager.get(pk=experiment.pk)
    assert row.deleted_at is not None
    entry = entries(cast.acme, "registry.experiment.soft_deleted")[-1]
    assert (entry.actor_kind, entry.reason) == ("staff", "as asked")


def test_a_grant_that_may_write_decides_nothing_about_who_may_what(writing, cast):
    chosen = {"action": "delete_rows", "_selected_action": str(cast.fraud.pk)}
    writing.post("/admin/tenants/project/", {**chosen, "confirmed": "1"})
    assert Project._base_manager.get(pk=cast.fraud.pk).deleted_at is None
    assert writing.get("/admin/tenants/apitoken/add/").status_code == 403
    assert writing.post(page_of(cast.fraud), {"name": "x"}).status_code == 403


def test_a_revoked_grant_ends_with_the_next_page(inside, cast, alice):
    (grant,) = SupportGrant._base_manager.all()
    assert inside.get("/admin/").status_code == 200
    assert alice.post(f"{GRANTS}{grant.pk}/revoke/").status_code == 200
    assert inside.get("/admin/").status_code == 403


def test_an_expired_grant_ends_with_the_next_page(inside):
    past = timezone.now() - timedelta(minutes=1)
    SupportGrant._base_manager.update(
        approved_at=past - timedelta(hours=1), expires_at=past
    )
    assert inside.get("/admin/").status_code == 403


def test_staff_that_is_staff_no_more_is_out(inside, sam):
    type(sam).objects.filter(pk=sam.pk).update(is_staff=False)
    assert inside.get("/admin/").status_code in {302, 403}


def test_nobody_enters_by_the_grant_of_another(cast, browser):
    other = live_grant(cast, UserFactory(username="tim", is_staff=True))
    enter(browser, other)
    assert browser.get("/admin/").status_code == 403


def test_staff_leaves(inside, cast):
    inside.post(SUPPORT, {"do": "leave"})
    assert inside.get("/admin/").status_code == 403
    assert len(entries(cast.acme, "support.left")) == 1


def test_the_page_lists_what_is_open(browser, cast, sam, question):
    live_grant(cast, sam, organization=cast.umbrella)
    page = shown(browser.get(SUPPORT))
    assert "Enter umbrella" in page
    assert "Enter acme" not in page
    assert "has not decided" in page


def test_a_superuser_needs_no_grant(db):
    client = WebClient()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    assert client.get(SUPPORT).headers["Location"] == "/admin/"

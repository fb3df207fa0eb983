"""Retention rules over REST and in the admin: who may, and what is refused."""

from __future__ import annotations

import pytest
from django.urls import reverse

from audit.models import AuditLog
from conftest import client_of
from registry.models import RetentionRule
from registry.tests.factories import PackageFactory, RetentionRuleFactory
from registry.tests.maintenance.commands import DAY, backdate
from tenants.tests.factories import (
    MembershipFactory,
    ProjectMemberFactory,
    UserFactory,
    make_api_token,
)
from tenants.tests.superuser import messages_of, shown, superuser

RULES = "/api/v1/organizations/acme/projects/fraud/retention-rules/"
JSON = {"content_type": "application/json"}
MONTH = {"name": "month", "name_pattern": "nightly-*", "older_than_days": 30}


def test_a_rule_is_made_read_changed_and_deleted(alice, cast):
    made = alice.post(RULES, MONTH, **JSON)
    assert made.status_code == 201, made.content
    rule = made.json()
    assert (rule["effect"], rule["is_enabled"], rule["counting"]) == (
        "delete",
        True,
        "all",
    )
    assert rule["created_by"] == str(cast.alice.pk)
    assert alice.get(RULES).json()["results"] == [rule]
    address = f"{RULES}{rule['id']}/"
    changed = alice.patch(address, {"keep_newest": 5, "tag_key": "keep"}, **JSON)
    assert changed.json()["keep_newest"] == 5
    assert alice.get(address).json() == changed.json()
    assert alice.delete(address).status_code == 204
    assert alice.get(address).status_code == 404


REFUSED = [
    ({"name": "x"}, "older_than_days"),
    ({"name": "x", "older_than_days": -1}, "older_than_days"),
    ({"name": "x", "keep_newest": 10**9}, "keep_newest"),
    ({"name": "x", "older_than_days": 1, "tag_value": "v"}, "tag_key"),
    ({"name": "x", "effect": "keep", "older_than_days": 1}, "older_than_days"),
    ({"name": "x", "effect": "forget", "older_than_days": 1}, "effect"),
    (
        {"name": "x", "older_than_days": 1, "package_status": "processing"},
        "package_status",
    ),
    ({"name": "x", "older_than_days": 1, "pattern": "*"}, "pattern"),
    ({"name": "x", "older_than_days": 1, "name_pattern": "a\x07"}, "name_pattern"),
]


@pytest.mark.parametrize("body,named", REFUSED)
def test_a_rule_that_makes_no_sense_is_refused_by_name(alice, cast, body, named):
    refusal = alice.post(RULES, body, **JSON)
    assert refusal.status_code == 400
    assert named in refusal.content.decode()
    assert RetentionRule._base_manager.count() == 0


def test_a_change_that_takes_the_last_bound_is_refused(alice, cast):
    rule = RetentionRuleFactory(project=cast.fraud)
    refusal = alice.patch(f"{RULES}{rule.pk}/", {"older_than_days": None}, **JSON)
    assert refusal.status_code == 400
    rule.refresh_from_db()
    assert rule.older_than_days == 30


def test_a_name_in_use_is_a_conflict(alice, cast):
    RetentionRuleFactory(project=cast.fraud, name="month")
    RetentionRuleFactory(project=cast.churn, name="year")
    assert alice.post(RULES, MONTH, **JSON).status_code == 409
    other = {**MONTH, "name": "year"}
    assert alice.post(RULES, other, **JSON).status_code == 201


@pytest.mark.parametrize("role,may", [("viewer", 403), ("editor", 403)])
def test_who_does_not_maintain_the_project_reads_only(cast, role, may):
    user = UserFactory()
    MembershipFactory(organization=cast.acme, user=user, role="member")
    ProjectMemberFactory(project=cast.fraud, user=user, role=role)
    client = client_of(make_api_token(user, cast.acme).text)
    rule = RetentionRuleFactory(project=cast.fraud)
    address = f"{RULES}{rule.pk}/"
    assert client.get(address).status_code == 200
    assert client.post(RULES, MONTH, **JSON).status_code == may
    assert client.patch(address, {"keep_newest": 1}, **JSON).status_code == may
    assert client.delete(address).status_code == may


def test_a_stranger_s_rule_is_not_found(alice, mallory, cast):
    theirs = RetentionRuleFactory(project=cast.umbrella_fraud)
    sibling = RetentionRuleFactory(project=cast.churn)
    for rule in (theirs, sibling):
        assert alice.get(f"{RULES}{rule.pk}/").status_code == 404
        assert alice.delete(f"{RULES}{rule.pk}/").status_code == 404
    assert mallory.get(RULES).status_code == 404


def test_who_made_a_rule_is_in_the_trail(alice, cast):
    alice.post(RULES, MONTH, **JSON)
    (entry,) = AuditLog._base_manager.filter(action="registry.retention_rule.created")
    assert (entry.actor_id, entry.project_id) == (cast.alice.pk, cast.fraud.pk)


# Admin


@pytest.fixture
def root(cast):
    return superuser()


def test_the_page_of_a_rule_shows_what_goes_next(root, cast):
    rule = RetentionRuleFactory(project=cast.fraud, name_pattern="nightly-*")
    for name, days in (("nightly-1", 40), ("nightly-2", 1), ("weekly-1", 40)):
        package = PackageFactory(project=cast.fraud, name=name)
        backdate(type(package), package.pk, days * DAY)
    text = shown(root.opened(rule))
    assert "nightly-1" in text
    assert "nightly-2" not in text
    assert "weekly-1" not in text
    listed = shown(root.listed("registry_retentionrule"))
    assert "older than 30 days" in listed


def test_staff_makes_and_deletes_a_rule(root, cast):
    address = reverse("admin:registry_retentionrule_add")
    form = {
        "project": cast.fraud.pk,
        "name": "year",
        "effect": "delete",
        "is_enabled": "on",
        "name_pattern": "*",
        "older_than_days": "365",
        "counting": "all",
    }
    answer = root.post(address, form)
    assert answer.status_code == 302, shown(answer)
    rule = RetentionRule._base_manager.get()
    assert (rule.project, rule.older_than_days) == (cast.fraud, 365)
    done = root.act("delete_rules", rule, confirmed="1")
    assert messages_of(done)[-1] == "1 retention rule deleted."
    assert not RetentionRule._base_manager.exists()


def test_what_the_service_refuses_is_said_on_the_form(root, cast):
    address = reverse("admin:registry_retentionrule_add")
    form = {
        "project": cast.fraud.pk,
        "name": "boundless",
        "effect": "delete",
        "is_enabled": "on",
        "name_pattern": "*",
        "counting": "all",
    }
    answer = root.post(address, form)
    assert answer.status_code == 200
    assert "older_than_days" in shown(answer)
    assert not RetentionRule._base_manager.exists()


@pytest.mark.parametrize("rows", [1, 20])
def test_the_list_of_rules_costs_the_same(root, cast, rows):
    RetentionRuleFactory.create_batch(rows, project=cast.fraud)
    root.listed("registry_retentionrule")
    costs = root.statements("registry_retentionrule")
    RetentionRuleFactory.create_batch(20, project=cast.churn)
    assert root.statements("registry_retentionrule") == costs

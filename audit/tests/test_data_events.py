"""What runs log leaves an entry a batch, where their organization wants it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.models import AuditLog
from audit.tests.trail import entries, only_entry
from conftest import client_of
from registry.tests.protocol import Tracking
from tenants.models import Organization
from tenants.tests.factories import MembershipFactory, UserFactory, make_api_token
from tenants.tests.superuser import page_of, superuser

ACME = "/api/v1/organizations/acme/"
JSON = {"content_type": "application/json"}
METRICS = [
    {"key": "loss", "value": step / 7, "timestamp": step, "step": step}
    for step in range(100)
]
PARAMS = [{"key": f"p{number}", "value": "v"} for number in range(3)]
TAGS = [{"key": "k", "value": "v"}]


@pytest.fixture
def tracking(alice_in_fraud) -> Tracking:
    return Tracking(alice_in_fraud)


def switch(client: Any, wish: Any) -> Any:
    return client.patch(ACME, json.dumps({"audit_data_events": wish}), **JSON)


def batches() -> dict[str, int]:
    nouns = ("registry.metric.", "registry.param.", "registry.run_tag.")
    found = [e for e in entries() if e.action.startswith(nouns)]
    return {entry.action: (entry.after or {})["count"] for entry in found}


def log(tracking: Tracking, run: str) -> None:
    tracking.ok("runs/log-batch", run_id=run, metrics=METRICS, params=PARAMS, tags=TAGS)


def test_a_batch_leaves_nothing_unless_it_is_asked_for(tracking):
    run = tracking.run()
    log(tracking, run)
    assert batches() == {}


def test_a_batch_leaves_one_entry_of_each_kind_where_it_is_asked_for(tracking, alice):
    assert switch(alice, True).status_code == 200
    run = tracking.run()
    before = AuditLog._base_manager.count()
    log(tracking, run)
    assert batches() == {
        "registry.metric.created": 100,
        "registry.param.created": 3,
        "registry.run_tag.created": 1,
    }
    assert AuditLog._base_manager.count() == before + 3
    entry = only_entry(action="registry.metric.created")
    assert entry.object_id.hex == run
    assert entry.actor_kind == "user"
    assert "value" not in str(entry.after)


def test_a_batch_that_is_sent_again_leaves_no_further_entry(tracking, alice):
    switch(alice, True)
    run = tracking.run()
    log(tracking, run)
    before = AuditLog._base_manager.count()
    log(tracking, run)
    metrics = [e.action for e in entries()][before:]
    assert "registry.metric.created" not in metrics
    assert "registry.param.created" not in metrics


def test_switching_it_off_again_ends_it(tracking, alice):
    switch(alice, True)
    switch(alice, False)
    log(tracking, tracking.run())
    assert batches() == {}
    changes = [e.after for e in entries(action="tenants.organization.updated")]
    assert changes == [{"audit_data_events": True}, {"audit_data_events": False}]


@pytest.mark.parametrize("wish", ["maybe", None, 7, []])
def test_the_switch_is_true_or_false(alice, wish):
    response = switch(alice, wish)
    assert response.status_code == 400
    assert "audit_data_events" in response.content.decode()


def test_only_owners_and_admins_turn_the_switch(bob, cast):
    assert switch(bob, True).status_code == 403
    admin = UserFactory(username="ann")
    MembershipFactory(organization=cast.acme, user=admin, role="admin")
    ann = client_of(make_api_token(admin, cast.acme).text)
    assert switch(ann, True).json()["audit_data_events"] is True


def test_the_switch_stands_in_the_admin(cast):
    root = superuser()
    page = root.opened(cast.acme).content.decode()
    assert 'name="audit_data_events"' in page
    form = root.opened(cast.acme).context["adminform"].form
    values = {n: v for n, v in form.initial.items() if n in form.fields and v}
    values |= {"metadata": "{}", "audit_data_events": "on"}
    assert root.post(page_of(cast.acme), values).status_code == 302
    assert Organization._base_manager.get(pk=cast.acme.pk).audit_data_events

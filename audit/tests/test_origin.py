"""From where a change came, and by which route: whichever way the request took."""

from __future__ import annotations

import pytest

from audit.tests.trail import only_entry
from tenants.tests.superuser import superuser

PROJECT = "/api/v1/organizations/acme/projects/fraud/"
JSON = {"content_type": "application/json"}
ROUTE = "api/v1/organizations/<slug:organization>/projects/<slug:slug>/"


@pytest.mark.parametrize(
    "policy, address", [("prefix", "203.0.113.0/24"), ("full", "203.0.113.77")]
)
def test_a_change_by_rest_says_from_where_it_came(alice, settings, policy, address):
    settings.AUDIT_ADDRESSES = policy
    alice.patch(PROJECT, {"name": "New"}, **JSON, REMOTE_ADDR="203.0.113.77")
    entry = only_entry(action="tenants.project.updated")
    assert (entry.address, entry.route) == (address, f"PATCH {ROUTE}")


def test_a_run_made_on_the_hot_path_says_from_where_it_came(alice_in_fraud):
    path = "/api/2.0/mlflow/runs/create"
    body = {"experiment_id": "0"}
    made = alice_in_fraud.post(path, body, **JSON, REMOTE_ADDR="2001:db8:1:2::3")
    assert made.status_code == 200, made.content
    entry = only_entry(action="registry.run.created")
    assert entry.address == "2001:db8:1::/48"
    assert entry.route.startswith("POST ")
    assert entry.route.endswith("runs/create")


def test_a_page_of_the_admin_says_from_where_it_came(cast):
    superuser().listed("tenants_project")
    entry = only_entry(action="admin.viewed")
    assert entry.address == "127.0.0.0/24"
    assert entry.route == "GET admin/tenants/project/"


def test_a_refusal_says_from_where_it_came(mallory, cast):
    mallory.get(PROJECT, REMOTE_ADDR="198.51.100.9")
    entry = only_entry(action="request.refused", actor_id=cast.mallory.pk)
    assert (entry.address, entry.route) == ("198.51.100.0/24", f"GET {ROUTE}")

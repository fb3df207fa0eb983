from __future__ import annotations

import pytest

from audit.models import AuditLog
from conftest import client_of
from tenants.models import ProjectMember
from tenants.tests.factories import make_api_token

ACME = "/api/v1/organizations/acme/"
JSON = {"content_type": "application/json"}


def rows_of(client, query=""):
    response = client.get(f"{ACME}audit-logs/?limit=200{query}")
    assert response.status_code == 200, response.content
    return response.json()["results"]


def test_a_change_by_rest_is_in_the_trail_with_who_and_what(alice, cast):
    named = {"headers": {"X-Request-Id": "request-7"}}
    address = f"{ACME}projects/fraud/"
    assert alice.patch(address, {"name": "New"}, **JSON, **named).status_code == 200
    (entry,) = rows_of(alice, "&request_id=request-7")
    assert entry["actor_kind"] == "user"
    assert entry["actor_id"] == str(cast.alice.pk)
    assert entry["object_type"] == "projects"
    assert entry["object_id"] == str(cast.fraud.pk)
    assert (entry["before"]["name"], entry["after"]["name"]) == ("Fraud", "New")


def test_a_refused_change_leaves_no_trace_of_success(alice, cast):
    alice.patch(f"{ACME}projects/fraud/", {"name": "x" * 300}, **JSON)
    changed = rows_of(alice, f"&object_id={cast.fraud.pk}&outcome=ok")
    assert all((entry["after"] or {}).get("name") != "x" * 300 for entry in changed)


def test_the_trail_holds_no_secret_of_a_token(alice):
    made = alice.post(f"{ACME}tokens/", {"name": "x"}, **JSON).json()
    alice.post(f"{ACME}tokens/{made['id']}/rotate/", {"overlap_hours": 1}, **JSON)
    entries = rows_of(alice, f"&object_id={made['id']}")
    assert len(entries) == 2
    for entry in entries:
        digests = {**(entry["before"] or {}), **(entry["after"] or {})}
        assert made["token"] not in str(entry)
        assert "redacted" in str(digests["digest"])


def test_filters_narrow_the_trail(alice, cast):
    alice.patch(f"{ACME}projects/fraud/", {"name": "New"}, **JSON)
    entry = rows_of(alice)[0]
    for query in (
        f"&actor={cast.alice.pk}",
        "&object_type=projects",
        f"&object_id={cast.fraud.pk}",
        f"&action={entry['action']}",
        "&outcome=ok",
        f"&since={entry['created_at'].replace('+', '%2B')}",
    ):
        assert entry["id"] in {row["id"] for row in rows_of(alice, query)}, query
    assert rows_of(alice, "&until=2020-01-01T00:00:00Z") == []


@pytest.mark.parametrize("query", ["since=x", "actor=1", "outcome=fine", "before=x"])
def test_a_bad_filter_is_refused_by_name(alice, query):
    response = alice.get(f"{ACME}audit-logs/?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in response.json()["error"]["message"]


def test_only_those_who_rule_the_organization_read_the_trail(bob, cast):
    ProjectMember._base_manager.filter(user=cast.bob).update(role="maintainer")
    assert bob.get(f"{ACME}audit-logs/").status_code == 403
    narrow = make_api_token(cast.alice, cast.acme, cast.fraud)
    assert client_of(narrow.text).get(f"{ACME}audit-logs/").status_code == 403


def test_the_trail_is_not_written(alice):
    entry = rows_of(alice)[0]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for address in (f"{ACME}audit-logs/", f"{ACME}audit-logs/{entry['id']}/"):
            response = alice.generic(method, address, b"{}", "application/json")
            assert response.status_code == 405


def test_an_entry_of_another_organization_is_not_found(mallory, alice, cast):
    theirs = AuditLog._base_manager.filter(organization_id=cast.umbrella.pk).first()
    assert alice.get(f"{ACME}audit-logs/{theirs.pk}/").status_code == 404
    address = f"/api/v1/organizations/umbrella/audit-logs/{theirs.pk}/"
    assert mallory.get(address).status_code == 200

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
        "&actor_kind=user",
        f"&token={entry['token_public_id']}",
        "&object_type=projects",
        f"&object_id={cast.fraud.pk}",
        f"&object_type=projects&object_id={cast.fraud.pk}",
        f"&project={cast.fraud.pk}",
        f"&action={entry['action']}",
        "&action=tenants.project.*",
        "&action=tenants.*",
        "&outcome=ok",
        f"&request_id={entry['request_id']}",
        "&address=127.0.0.1",
        "&address=127.0.0.0/24",
        f"&since={entry['created_at'].replace('+', '%2B')}",
        f"&actor={cast.alice.pk}&action=tenants.project.updated&outcome=ok",
    ):
        assert entry["id"] in {row["id"] for row in rows_of(alice, query)}, query
    for query in (
        "&until=2020-01-01T00:00:00Z",
        f"&until={entry['created_at'].replace('+', '%2B')}",
        f"&actor={cast.bob.pk}",
        "&actor_kind=service",
        "&token=AAAAAAAAAAAA",
        "&action=tenants.projec.*",
        "&outcome=denied",
        f"&object_id={cast.churn.pk}",
        f"&project={cast.churn.pk}",
        "&request_id=another",
        "&address=192.0.2.1",
    ):
        assert entry["id"] not in {row["id"] for row in rows_of(alice, query)}, query


def test_an_entry_tells_from_where_and_in_which_transaction_it_was_made(alice, cast):
    alice.patch(f"{ACME}projects/fraud/", {"name": "New"}, **JSON)
    entry = rows_of(alice)[0]
    assert entry["address"] == "127.0.0.0/24"
    assert entry["route"].startswith("PATCH api/v1/organizations/")
    stored = AuditLog._base_manager.get(pk=entry["id"])
    assert entry["transaction_id"] == stored.transaction_id


def test_an_underscore_of_an_action_stands_for_itself(alice, cast):
    make = f"{ACME}projects/fraud/experiments/"
    alice.post(make, {"name": "x"}, **JSON)
    assert rows_of(alice, "&action=registry.experiment.*")
    assert rows_of(alice, "&action=registry.experimen_.*") == []


BAD = [
    "since=x",
    "until=2026-13-01",
    "actor=1",
    "actor_kind=person",
    "token=short",
    "action=Created",
    "action=registry.*.created",
    "action=*",
    "outcome=fine",
    "object_type=models",
    "object_id=7",
    "project=fraud",
    f"request_id={'x' * 65}",
    "address=here",
    "address=192.0.2.7/24",
    "before=x",
    "limit=0",
    "since=",
]


@pytest.mark.parametrize("query", BAD)
def test_a_bad_filter_is_refused_by_name(alice, query):
    response = alice.get(f"{ACME}audit-logs/?{query}")
    assert response.status_code == 400
    name, _, value = query.partition("=")
    message = response.json()["error"]["message"]
    assert name in message
    assert repr(value[:50])[:-1] in message


def walked(client, address: str) -> list[list[str]]:
    """Follow the pages of a list to its end."""
    pages = []
    while address:
        answer = client.get(address).json()
        pages.append([row["id"] for row in answer["results"]])
        address = answer["next"] or ""
        assert len(pages) < 200
    return pages


@pytest.mark.parametrize("looked_at", [1, 3, 7, 10_000])
@pytest.mark.parametrize("limit", [1, 2, 200])
def test_pages_that_look_for_something_find_all_of_it_once(
    alice, cast, monkeypatch, looked_at, limit
):
    for number in range(8):
        slug = "fraud" if number % 4 else "churn"
        alice.patch(f"{ACME}projects/{slug}/", {"name": f"{number}"}, **JSON)
    expected = [
        str(entry.pk)
        for entry in AuditLog._base_manager.filter(
            organization_id=cast.acme.pk, action="tenants.project.updated"
        ).order_by("-id")
    ]
    monkeypatch.setattr("audit.api.pagination.LOOKED_AT", looked_at)
    address = f"{ACME}audit-logs/?action=tenants.project.updated&limit={limit}"
    pages = walked(alice, address)
    assert [key for page in pages for key in page] == expected
    assert max(map(len, pages)) <= limit


def test_below_a_project_pages_hold_what_is_of_it(bob, alice, cast, monkeypatch):
    ProjectMember._base_manager.filter(user=cast.bob).update(role="maintainer")
    for number in range(6):
        slug = "fraud" if number % 2 else "churn"
        alice.patch(f"{ACME}projects/{slug}/", {"name": f"{number}"}, **JSON)
    monkeypatch.setattr("audit.api.pagination.LOOKED_AT", 2)
    pages = walked(bob, f"{ACME}projects/fraud/audit-logs/?limit=200")
    found = [key for page in pages for key in page]
    stored = AuditLog._base_manager.filter(project_id=cast.fraud.pk).order_by("-id")
    assert found == [str(entry.pk) for entry in stored]


def test_a_page_that_an_index_finds_needs_no_second_look(alice, cast):
    address = f"{ACME}audit-logs/?limit=5"
    plain = int(alice.get(address)["X-Query-Count"])
    known = f"&actor={cast.alice.pk}&since=2020-01-01T00:00:00Z"
    assert int(alice.get(address + known)["X-Query-Count"]) == plain
    searched = int(alice.get(f"{address}&outcome=ok")["X-Query-Count"])
    assert searched == plain + 1


def test_the_description_tells_of_filters_and_of_the_export(alice):
    schema = alice.get("/api/v1/schema/", headers={"accept": "application/json"}).json()
    whole = schema["paths"]["/api/v1/organizations/{organization}/audit-logs/"]["get"]
    named = {each["name"]: each for each in whole["parameters"]}
    for name in ("since", "actor", "action", "object_type", "address", "request_id"):
        assert named[name]["description"], name
    path = "/api/v1/organizations/{organization}/projects/{project}/audit-logs/export/"
    export = schema["paths"][path]["get"]
    wanted = {each["name"] for each in export["parameters"]}
    assert wanted == {*named, "project", "format"} - {"limit", "cursor"}
    assert set(export["responses"]) >= {"200", "409", "default"}


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

"""Each refusal of a known caller leaves an entry a minute, where the caller belongs."""

from __future__ import annotations

from uuid import uuid4

import pytest

from audit.models import AuditLog
from conftest import WebClient
from registry.mlflow import urls
from registry.mlflow.endpoint import ENDPOINTS
from registry.tests.factories import ExperimentFactory, RunFactory
from tenants import refusals
from tests.mounts import every_mount, mounts
from tests.refused.conftest import call, send

FRAUD = "/api/v1/organizations/acme/projects/fraud/"


def entries(organization=None) -> list[AuditLog]:
    trail = AuditLog._base_manager.filter(action="request.refused")
    key = organization.pk if organization else None
    return list(trail.filter(organization_id=key).order_by("pk"))


@every_mount
def test_a_refusal_by_role_is_recorded(person, cast, run, mount):
    """By the middleware, by a statement, and by the entrance of files."""
    viewer = person("viewer")
    given = {"run_id": run.pk.hex, "key": "k", "value": "1"}
    for path in ("runs/delete-tag", "runs/set-tag"):
        assert call(viewer.client, mount, "POST", path, **given).status_code == 403
    found = entries(cast.acme)
    assert [entry.after["route"].rpartition("mlflow/")[2] for entry in found] == [
        "runs/delete-tag",
        "runs/set-tag",
    ]
    assert {entry.outcome for entry in found} == {"denied"}
    assert {entry.actor_id for entry in found} == {viewer.user.pk}
    assert all(entry.token_public_id and entry.request_id for entry in found)


def test_a_refusal_of_a_file_is_recorded(person, cast, run):
    viewer = person("viewer")
    where = f"2.0/mlflow-artifacts/artifacts/7/{run.pk.hex}/artifacts/folder/x"
    for prefix in ("/api/", "/mlflow/acme/fraud/api/"):
        assert send(viewer.client, "PUT", prefix + where).status_code == 403
    assert len(entries(cast.acme)) == 2


def test_a_refusal_of_rest_is_recorded(person, cast):
    editor = person("editor").client
    assert send(editor, "POST", f"{FRAUD}members/", role="viewer").status_code == 403
    (entry,) = entries(cast.acme)
    assert entry.after["method"] == "POST"


def test_the_entry_does_not_tell_whether_there_was_something(alice_in_fraud, cast):
    """What is foreign and what never existed leave the same, in the caller's trail."""
    experiment = ExperimentFactory(project=cast.umbrella_fraud, iid=99)
    theirs = RunFactory(experiment=experiment).pk.hex
    for mount in mounts():
        told = []
        for key in (theirs, uuid4().hex):
            refusals._seen.clear()
            before = len(entries(cast.acme))
            answer = call(alice_in_fraud, mount, "GET", "runs/get", run_id=key)
            assert answer.status_code == 404, mount
            (entry,) = entries(cast.acme)[before:]
            assert key not in str(entry.after)
            told.append((entry.after, entry.outcome, entry.object_id, entry.reason))
        assert told[0] == told[1], mount
    assert entries(cast.umbrella) == []


def test_somebody_elses_address_is_recorded_where_the_caller_belongs(mallory, cast):
    for path in (f"{FRAUD}runs/", "/mlflow/acme/fraud/api/2.0/mlflow/runs/get"):
        assert mallory.get(path).status_code == 404
    assert len(entries(cast.umbrella)) == 2
    assert entries(cast.acme) == []


def test_a_session_that_is_no_member_leaves_word_with_nobodys(cast):
    browser = WebClient()
    browser.force_login(cast.mallory)
    assert browser.get(f"{FRAUD}runs/").status_code == 404
    assert entries(cast.acme) == entries(cast.umbrella) == []
    (entry,) = entries()
    assert entry.actor_id == cast.mallory.pk


def test_the_same_refusal_is_one_entry_a_minute_with_a_count(
    person, cast, run, monkeypatch
):
    viewer = person("viewer").client
    clock = [1000.0]
    monkeypatch.setattr("tenants.refusals.time.monotonic", lambda: clock[0])
    mount = mounts()[0]
    given = {"run_id": run.pk.hex, "key": "k", "value": "1"}
    for _ in range(7):
        call(viewer, mount, "POST", "runs/set-tag", **given)
    assert [entry.after["repeated"] for entry in entries(cast.acme)] == [0]
    clock[0] += 61
    # Another refusal of the same worker brings out what was counted.
    call(viewer, mount, "POST", "runs/delete-tag", run_id=run.pk.hex, key="k")
    told = {(e.after["route"], e.after["repeated"]) for e in entries(cast.acme)}
    assert ("api/2.0/mlflow/runs/set-tag", 6) in told
    assert len(entries(cast.acme)) == 3
    # Each tells of its own request, not of the one that brought it out.
    for entry in entries(cast.acme):
        assert entry.route == f"POST {entry.after['route']}"


def test_a_success_costs_no_statement_more(alice_in_fraud, run):
    answer = call(alice_in_fraud, mounts()[0], "GET", "runs/get", run_id=run.pk.hex)
    assert answer.headers["X-Query-Count"] == "1"


def test_nobody_unknown_leaves_an_entry(stranger, cast, run):
    for mount in mounts():
        call(stranger, mount, "GET", "runs/get", run_id=run.pk.hex)
    assert entries(cast.acme) == entries() == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_stranger_cannot_tell_which_endpoints_there_are(stranger, method):
    assert urls.REGISTERED
    for mount in mounts():
        known = [each.path for each in ENDPOINTS if each.needs][::6]
        answers = {
            (answer.status_code, answer.content, answer["WWW-Authenticate"])
            for path in (*known, "no/such", "runs/", "registered-models/create")
            for answer in [call(stranger, mount, method, path)]
        }
        assert len(answers) == 1, mount
        assert next(iter(answers))[0] == 401

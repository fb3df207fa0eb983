"""Workspaces: what MLflow's client and UI may do with the projects of a tenant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.tests.trail import only_entry
from registry.tests.factories import ExperimentFactory, RunFactory, candidate_package
from tenants.models import Project
from tenants.tests.factories import ProjectFactory

WORKSPACES = "/api/3.0/mlflow/workspaces"
JSON = {"content_type": "application/json"}


def names_seen_by(client) -> list[str]:
    answer = client.get(WORKSPACES)
    assert answer.status_code == 200
    return [row["name"] for row in answer.json().get("workspaces", [])]


def send(client, method: str, address: str, **body: Any) -> Any:
    return client.generic(method, address, json.dumps(body), **JSON)


def refusal(answer) -> tuple[int, str, str]:
    said = answer.json()
    return answer.status_code, said["error_code"], said["message"]


def project(slug: str) -> Project:
    return Project._base_manager.get(organization__slug="acme", slug=slug)


def test_each_project_that_one_may_see_is_a_workspace(alice, bob, mallory, cast):
    Project._base_manager.filter(pk=cast.churn.pk).update(default_role="none")
    assert names_seen_by(alice) == ["churn", "fraud"]
    assert names_seen_by(bob) == ["fraud"]
    assert names_seen_by(mallory) == ["fraud"]  # her own


def test_a_token_of_one_project_knows_one_workspace(alice_in_fraud):
    assert names_seen_by(alice_in_fraud) == ["fraud"]


def test_the_list_costs_the_same_for_any_number(alice, cast):
    costs = set()
    for more in (1, 20):
        ProjectFactory.create_batch(more, organization=cast.acme)
        costs.add(alice.get(WORKSPACES)["X-Query-Count"])
    assert len(costs) == 1


def test_a_workspace_is_made_with_its_default_experiment(alice):
    made = send(alice, "POST", WORKSPACES, name="churn-2", description="next year's")
    assert made.status_code == 201
    expected = {"name": "churn-2", "description": "next year's"}
    assert made.json() == {"workspace": expected}
    assert alice.get(f"{WORKSPACES}/churn-2").json() == {"workspace": expected}
    found = alice.get(
        "/api/2.0/mlflow/experiments/get?experiment_id=0",
        headers={"X-MLFLOW-WORKSPACE": "churn-2"},
    )
    assert found.json()["experiment"]["name"] == "Default"


def test_a_name_that_is_taken_or_none_is_refused(alice):
    taken = send(alice, "POST", WORKSPACES, name="fraud")
    assert refusal(taken)[:2] == (400, "RESOURCE_ALREADY_EXISTS")
    for name in ("A", "a b", "-a", "a/b", "x" * 300):
        status, code, message = refusal(send(alice, "POST", WORKSPACES, name=name))
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
        assert name[:50] in message


@pytest.mark.parametrize(
    "more", [{"default_artifact_root": "s3://x"}, {"trace_archival_config": {"a": 1}}]
)
def test_a_workspace_has_no_store_of_its_own(alice, more):
    for method, address, given in [
        ("POST", WORKSPACES, {"name": "next"}),
        ("PATCH", f"{WORKSPACES}/fraud", {"description": "x"}),
    ]:
        status, _, message = refusal(send(alice, method, address, **given, **more))
        assert status == 400
        assert next(iter(more)) in message


def test_a_description_changes_and_may_be_emptied(alice):
    for text in ("by us", ""):
        answer = send(alice, "PATCH", f"{WORKSPACES}/fraud", description=text)
        assert answer.json()["workspace"].get("description", "") == text
        assert project("fraud").description == text
    nothing = send(alice, "PATCH", f"{WORKSPACES}/fraud")
    assert refusal(nothing)[2] == "Workspace update must have at least one key"


def test_an_empty_workspace_is_deleted_and_gone(alice):
    assert alice.delete(f"{WORKSPACES}/churn").status_code == 204
    assert names_seen_by(alice) == ["fraud"]
    entry = only_entry(action="tenants.project.soft_deleted")
    assert entry.object_id == project("churn").pk


@pytest.mark.parametrize("what", ["experiments", "runs", "packages"])
def test_a_workspace_that_holds_something_is_deleted_only_when_asked(alice, cast, what):
    experiment = ExperimentFactory(project=cast.churn)
    if what != "experiments":
        run = RunFactory(experiment=experiment)
        type(experiment)._base_manager.filter(pk=experiment.pk).update(
            deleted_at="2026-01-01T00:00Z"
        )
    if what == "packages":
        candidate_package(run)
        type(run)._base_manager.update(deleted_at="2026-01-01T00:00Z")
    kept = alice.delete(f"{WORKSPACES}/churn")
    assert refusal(kept)[:2] == (400, "INVALID_STATE")
    assert what in refusal(kept)[2]
    assert project("churn").deleted_at is None
    assert alice.delete(f"{WORKSPACES}/churn?mode=CASCADE").status_code == 204
    assert project("churn").deleted_at is not None


def test_other_ways_to_delete_are_refused(alice):
    moved = alice.delete(f"{WORKSPACES}/churn?mode=SET_DEFAULT")
    assert "SET_DEFAULT" in refusal(moved)[2]
    unknown = alice.delete(f"{WORKSPACES}/churn?mode=x")
    assert refusal(unknown)[2] == (
        "Invalid deletion mode 'x'. Must be one of: SET_DEFAULT, CASCADE, RESTRICT"
    )


def test_only_who_rules_projects_makes_and_changes_workspaces(bob, alice_in_fraud):
    for client in (bob, alice_in_fraud):
        for answer in (
            send(client, "POST", WORKSPACES, name="next"),
            send(client, "PATCH", f"{WORKSPACES}/fraud", description="x"),
            client.delete(f"{WORKSPACES}/fraud"),
        ):
            assert refusal(answer)[:2] == (403, "PERMISSION_DENIED")


def test_a_hidden_workspace_is_not_found_like_an_absent_one(bob, mallory, cast):
    Project._base_manager.filter(pk=cast.churn.pk).update(default_role="none")
    for client in (bob, mallory):
        hidden = client.get(f"{WORKSPACES}/churn")
        absent = client.get(f"{WORKSPACES}/nowhere")
        assert hidden.status_code == absent.status_code == 404
        assert hidden.content == absent.content.replace(b"nowhere", b"churn")


def test_the_server_says_where_there_are_workspaces(stranger):
    root = stranger.get("/api/3.0/mlflow/server-info").json()
    below = stranger.get("/mlflow/acme/fraud/api/3.0/mlflow/server-info").json()
    assert (root["workspaces_enabled"], below["workspaces_enabled"]) == (True, False)

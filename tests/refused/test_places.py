"""Where a caller is: security.md D8, D12, D22, D23, I1, I2, I5 and I7."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from conftest import client_of
from monitoring.tests.factories import AlertRuleFactory
from registry.models import Run
from registry.tests.factories import (
    DeploymentFactory,
    ExperimentFactory,
    ModelVersionFactory,
    RegisteredModelFactory,
    RunFactory,
)
from tenants.models import Project
from tenants.tests.factories import ProjectFactory, make_api_token
from tests.mounts import mounts
from tests.refused.conftest import call, error_of, send
from tests.routes import routes

ORGANIZATION = "/api/v1/organizations/acme/"
FRAUD = f"{ORGANIZATION}projects/fraud/"
NO_ROW, INVALID = (404, "RESOURCE_DOES_NOT_EXIST"), (400, "INVALID_PARAMETER_VALUE")
BY_HEADER = [mount for mount in mounts() if mount.headers]
BY_PATH = [mount for mount in mounts() if mount.name.startswith("path")]
BY_TOKEN = [mount for mount in mounts() if mount.name.startswith("token")]
MOONBASE, NOWHERE = "moonbase", "never-existed"


@pytest.fixture
def wide(cast):
    """Alice by a token of two projects."""
    return client_of(make_api_token(cast.alice, cast.acme, cast.fraud, cast.churn).text)


@pytest.fixture
def moonbase(cast):
    """A project that only umbrella has."""
    return ProjectFactory(organization=cast.umbrella, slug=MOONBASE)


# D8: a page token opens the page it was made for, and nothing else


def paged(project, count: int = 3):
    experiment = ExperimentFactory(project=project, iid=7)
    for made in RunFactory.create_batch(count, experiment=experiment):
        made.start_time_ms = made.iid
    ExperimentFactory(project=project, iid=8)
    return experiment


RUNS: dict[str, Any] = {"experiment_ids": ["7"], "max_results": 1}
EXPERIMENTS: dict[str, Any] = {"max_results": 1, "order_by": ["name ASC"]}
OTHERS = {
    "runs/search": [{"experiment_ids": ["8"]}, {"run_view_type": "ALL"}],
    "experiments/search": [{"order_by": ["name DESC"]}, {"view_type": "ALL"}],
}


@pytest.mark.parametrize(
    "path,asked", [("runs/search", RUNS), ("experiments/search", EXPERIMENTS)]
)
def test_a_page_token_opens_no_other_page(cast, person, path, asked):
    for project in (cast.fraud, cast.churn, cast.umbrella_fraud):
        paged(project)
    alice = client_of(make_api_token(cast.alice, cast.acme, cast.fraud).text)
    churn = client_of(make_api_token(cast.alice, cast.acme, cast.churn).text)
    mallory = client_of(
        make_api_token(cast.mallory, cast.umbrella, cast.umbrella_fraud).text
    )
    viewer = person("viewer").client
    for mount in BY_TOKEN:
        page = call(alice, mount, "POST", path, **asked).json()
        token = page["next_page_token"]
        again = {**asked, "page_token": token}
        assert call(alice, mount, "POST", path, **again).status_code == 200
        # Who may read the same reads on: a token says nothing of its holder.
        assert call(viewer, mount, "POST", path, **again).status_code == 200
        for client in (churn, mallory):
            answer = call(client, mount, "POST", path, **again)
            assert error_of(answer) == INVALID, mount
        for other in OTHERS[path]:
            answer = call(alice, mount, "POST", path, **{**again, **other})
            assert error_of(answer) == INVALID, (mount, other)
        for bad in altered(token):
            answer = call(alice, mount, "POST", path, **{**asked, "page_token": bad})
            assert error_of(answer) == INVALID, (mount, bad)
        elsewhere = {"experiments/search": "runs/search"}.get(
            path, "experiments/search"
        )
        given = {"experiment_ids": ["7"]} if elsewhere == "runs/search" else {}
        answer = call(alice, mount, "POST", elsewhere, page_token=token, **given)
        assert error_of(answer) == INVALID, mount


def altered(token: str) -> list[str]:
    other = "A" if token[5] != "A" else "B"
    return [token[:5] + other + token[6:], token[:-2], token[::-1], "x", "e30"]


def test_a_history_page_token_opens_no_other_page(alice_in_fraud, run):
    key = run.pk.hex
    for step in range(3):
        given = {"key": "loss", "value": 1.0, "timestamp": step, "step": step}
        send_to = "/api/2.0/mlflow/runs/log-metric"
        assert (
            send(alice_in_fraud, "POST", send_to, run_id=key, **given).status_code
            == 200
        )
    for mount in mounts():
        asked = {"run_id": key, "metric_key": "loss", "max_results": 1}
        page = call(alice_in_fraud, mount, "GET", "metrics/get-history", **asked).json()
        token = page["next_page_token"]
        for change in (
            {"metric_key": "other"},
            {"run_id": uuid4().hex},
            {"page_token": altered(token)[0]},
        ):
            given = {**asked, "page_token": token, **change}
            answer = call(alice_in_fraud, mount, "GET", "metrics/get-history", **given)
            assert error_of(answer) == INVALID, (mount, change)


def test_logged_models_take_no_page_token_of_others(alice_in_fraud):
    for mount in mounts():
        given = {"experiment_ids": ["0"], "page_token": "made-up"}
        answer = call(alice_in_fraud, mount, "POST", "logged-models/search", **given)
        assert error_of(answer) == INVALID, mount


def test_a_cursor_of_rest_opens_no_other_list(alice, mallory, cast):
    for project in (cast.fraud, cast.churn, cast.umbrella_fraud):
        paged(project)
    address = f"{FRAUD}runs/"
    cursor = alice.get(address, {"limit": 1}).json()["next"].split("cursor=")[1]
    cursor = cursor.split("&")[0]
    assert alice.get(address, {"limit": 2, "cursor": cursor}).status_code == 200
    for client, path, query in (
        (alice, address.replace("fraud", "churn"), {}),
        (alice, address.replace("runs", "experiments"), {}),
        (alice, address, {"status": "FINISHED"}),
        (alice, address, {"deleted": "true"}),
        (mallory, address.replace("acme", "umbrella"), {}),
    ):
        answer = client.get(path, {"cursor": cursor, **query})
        assert answer.status_code == 400, (path, query)
    for bad in altered(cursor):
        assert alice.get(address, {"cursor": bad}).status_code == 400


# D12: the header only narrows


@pytest.mark.parametrize(
    "project",
    [MOONBASE, NOWHERE, "Fraud", "fraud,fraud", "fraud,churn", " ", "../fraud"],
)
def test_a_header_that_names_no_project_of_the_caller_finds_nothing(
    wide, moonbase, run, project
):
    for mount in BY_HEADER:
        headers = {"X-MLFLOW-WORKSPACE": project}
        answer = send(wide, "GET", mount.url("runs/get"), headers, run_id=run.pk.hex)
        nobodys = send(
            wide, "GET", mount.url("runs/get"), {"X-MLFLOW-WORKSPACE": "zz"}, run_id="x"
        )
        assert error_of(answer) == NO_ROW, mount
        assert answer.content == nobodys.content, mount


def test_a_header_narrows_and_a_conflict_is_told(wide, alice_in_fraud, run, moonbase):
    given = {"run_id": run.pk.hex}
    for mount in BY_HEADER:
        address = mount.url("runs/get")
        churn = {"X-MLFLOW-WORKSPACE": "churn"}
        assert send(wide, "GET", address, mount.headers, **given).status_code == 200
        assert error_of(send(wide, "GET", address, churn, **given)) == NO_ROW
        assert error_of(send(alice_in_fraud, "GET", address, churn, **given)) == NO_ROW
    for mount in BY_PATH:
        for other in ("churn", MOONBASE, NOWHERE):
            headers = {"X-MLFLOW-WORKSPACE": other}
            answer = send(wide, "GET", mount.url("runs/get"), headers, **given)
            assert error_of(answer) == INVALID, (mount, other)


# I7: never a silent default


def test_a_token_of_several_projects_must_say_which(wide, run):
    given = {"run_id": run.pk.hex}
    for mount in BY_TOKEN:
        for method, path in (("GET", "runs/get"), ("POST", "runs/log-inputs")):
            answer = call(wide, mount, method, path, **given)
            assert error_of(answer) == INVALID, mount
            assert "X-MLFLOW-WORKSPACE" in answer.json()["message"]
    artifact = f"/api/2.0/mlflow-artifacts/artifacts/7/{run.pk.hex}/artifacts/x"
    assert error_of(send(wide, "GET", artifact)) == INVALID


ADDRESSES = [
    ("another organization", "/mlflow/umbrella/fraud{rest}"),
    ("another organization, encoded", "/mlflow/%75mbrella/fraud{rest}"),
    ("encoded twice", "/mlflow/%2561cme/fraud{rest}"),
    ("upper case", "/MLFLOW/acme/fraud{rest}"),
    ("upper case organization", "/mlflow/ACME/fraud{rest}"),
    ("upper case project", "/mlflow/acme/Fraud{rest}"),
    ("doubled slash", "/mlflow//acme/fraud{rest}"),
    ("no organization", "/mlflow//fraud{rest}"),
    ("dot segments", "/mlflow/umbrella/../acme/fraud{rest}"),
    ("encoded dot segments", "/mlflow/umbrella/%2e%2e/acme/fraud{rest}"),
    ("a dot", "/mlflow/./acme/fraud{rest}"),
    ("encoded slash", "/mlflow/umbrella%2ffraud{rest}"),
    ("a parameter", "/mlflow/acme;x=1/fraud{rest}"),
    ("a space", "/mlflow/acme%20/fraud{rest}"),
    ("NUL", "/mlflow/acme%00/fraud{rest}"),
    ("full width", "/mlflow/%ef%bd%81cme/fraud{rest}"),
    ("only the organization", "/mlflow/acme{rest}"),
]


@pytest.mark.parametrize(
    "_case,address", ADDRESSES, ids=[case for case, _ in ADDRESSES]
)
def test_an_address_that_is_not_written_as_it_is_finds_nothing(
    alice, run, _case, address
):
    for mount in BY_TOKEN:
        where = address.format(rest=mount.url("runs/get"))
        answer = alice.generic("GET", where, query_params={"run_id": run.pk.hex})
        assert answer.status_code == 404, where


# I2: one's own run, asked for by the address of another project


def test_a_run_is_found_in_its_own_project_only(alice, cast):
    elsewhere = RunFactory(experiment=ExperimentFactory(project=cast.churn, iid=7))
    for mount in (*BY_PATH, *BY_HEADER):
        for path, name in (("runs/get", "run_id"), ("artifacts/list", "run_id")):
            theirs, nobodys = (
                call(alice, mount, "GET", path, **{name: key})
                for key in (elsewhere.pk.hex, "f" * 32)
            )
            assert error_of(theirs) == NO_ROW, mount
            masked = theirs.content.replace(elsewhere.pk.hex.encode(), b"f" * 32)
            assert masked == nobodys.content, mount
    assert alice.get(f"{FRAUD}runs/{elsewhere.pk}/").status_code == 404


# I5: nothing is public


def test_a_project_that_members_may_read_is_closed_to_strangers(cast, run, stranger):
    Project._base_manager.update(default_role="editor")
    for mount in mounts():
        answer = call(stranger, mount, "GET", "runs/get", run_id=run.pk.hex)
        assert error_of(answer) == (401, "UNAUTHENTICATED"), mount


# I1: what a project switched off is not there


def family_of(needs: Any) -> set[str]:
    names = needs.values() if isinstance(needs, dict) else [needs]
    words = {str(name).partition(":")[0] for name in names}
    return {"tracking" if word == "artifacts" else word for word in words}


@pytest.mark.parametrize("feature", ["tracking", "registry", "monitoring"])
def test_what_is_switched_off_answers_404_to_all(alice, cast, run, feature):
    Project._base_manager.filter(pk=cast.fraud.pk).update(switched_off=[feature])
    shut = open_still = 0
    for route in routes():
        if not {"organization", "project"} <= {*route.parameters} or not route.needs:
            continue
        place = {"organization": "acme", "project": "fraud"}
        address, nowhere = (
            route.address({**place, "project": p}) for p in ("fraud", NOWHERE)
        )
        method = "GET" if route.has("GET") else "POST"
        answer = alice.generic(method, address, b"", "application/json")
        if family_of(route.needs) == {feature}:
            missing = alice.generic(method, nowhere, b"", "application/json")
            assert answer.status_code == missing.status_code == 404, address
            assert answer.content == missing.content, address
            shut += 1
        elif b"No such organization or project" not in answer.getvalue():
            open_still += 1
    assert shut > 3
    assert open_still > 10


def test_what_is_switched_off_is_off_by_token_and_header_too(alice_in_fraud, cast, run):
    Project._base_manager.filter(pk=cast.fraud.pk).update(switched_off=["tracking"])
    file = f"/api/2.0/mlflow-artifacts/artifacts/7/{run.pk.hex}/artifacts/folder/f"
    for method in ("GET", "PUT", "DELETE"):
        assert error_of(send(alice_in_fraud, method, file)) == NO_ROW
    for mount in mounts():
        for method, path in (("GET", "runs/get"), ("POST", "runs/search")):
            answer = call(alice_in_fraud, mount, method, path, run_id=run.pk.hex)
            assert error_of(answer) == NO_ROW, mount


def test_an_admin_switches_a_feature_off_and_on(alice, cast):
    project = f"{ORGANIZATION}projects/fraud/"
    off = send(alice, "PATCH", project, switched_off=["registry", "monitoring"])
    assert off.json()["switched_off"] == ["monitoring", "registry"]
    assert alice.get(f"{FRAUD}models/").status_code == 404
    assert send(alice, "PATCH", project, switched_off=["search"]).status_code == 400
    assert send(alice, "PATCH", project, switched_off=[]).status_code == 200
    assert alice.get(f"{FRAUD}models/").status_code == 200


# D22 and D23: ids tell nothing of what others have


def test_an_id_is_the_servers_whatever_the_client_says(alice, alice_in_fraud, cast):
    theirs = RunFactory(
        experiment=ExperimentFactory(project=cast.umbrella_fraud, iid=99)
    )
    for mount in mounts():
        given = {
            "experiment_id": "0",
            "run_id": theirs.pk.hex,
            "run_uuid": theirs.pk.hex,
        }
        made = call(alice_in_fraud, mount, "POST", "runs/create", **given)
        assert made.status_code == 200, mount
        assert made.json()["run"]["info"]["run_id"] != theirs.pk.hex, mount
    for key in (str(theirs.pk), str(uuid4())):
        answer = send(alice, "POST", f"{FRAUD}models/", name=f"m-{key}", id=key)
        assert answer.status_code == 201
        assert answer.json()["id"] != key
    assert Run._base_manager.filter(pk=theirs.pk).count() == 1


@pytest.fixture
def theirs(cast) -> dict[str, Any]:
    """What umbrella has, by the names of the fields that could refer to it."""
    run = RunFactory(experiment=ExperimentFactory(project=cast.umbrella_fraud, iid=99))
    model = RegisteredModelFactory(project=cast.umbrella_fraud, name="theirs")
    version = ModelVersionFactory(registered_model=model, version=1, run=run)
    deployment = DeploymentFactory(model_version=version, name="live")
    rule = AlertRuleFactory(deployment=deployment, name="slow")
    return {
        "experiment": run.experiment_id,
        "run": run.pk,
        "model": model.pk,
        "version": version.pk,
        "deployment": deployment.pk,
        "rule": rule.pk,
    }


def test_a_reference_to_what_is_foreign_reads_like_one_to_nothing(alice, cast, theirs):
    own = RegisteredModelFactory(project=cast.fraud, name="own")
    asks = [
        ("runs/", "experiment", {"name": "r"}, "experiment"),
        ("model-versions/", "registered_model", {}, "model"),
        ("model-versions/", "run", {"registered_model": str(own.pk)}, "run"),
        ("deployments/", "model_version", {"name": "d", "environment": "p"}, "version"),
        ("alert-rules/", "deployment", {"name": "a"}, "deployment"),
        ("drift-reports/", "deployment", {}, "deployment"),
    ]
    for path, field, body, kind in asks:
        answers = []
        for key in (theirs[kind], uuid4()):
            given = {**body, field: str(key)}
            answer = send(alice, "POST", FRAUD + path, **given)
            answers.append(
                (answer.status_code, answer.content.replace(str(key).encode(), b"*"))
            )
        assert answers[0] == answers[1], path
        assert answers[0][0] in {400, 404, 405}, (path, answers[0])

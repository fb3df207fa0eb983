from __future__ import annotations

from uuid import uuid4

import pytest

from conftest import client_of
from registry import models
from registry.tests.factories import (
    DeploymentFactory,
    ExperimentFactory,
    ModelVersionFactory,
    PackageFactory,
    PackageFileFactory,
    RegisteredModelFactory,
    RunFactory,
    candidate_package,
)
from tenants.api.openapi import description
from tenants.models import ProjectMember
from tenants.tests.factories import make_api_token

ACME = "/api/v1/organizations/acme/"
FRAUD = f"{ACME}projects/fraud/"
JSON = {"content_type": "application/json"}


def rows_of(client, address):
    response = client.get(address)
    assert response.status_code == 200, response.content
    return response.json()["results"]


def error_of(response):
    return response.json()["error"]["message"]


@pytest.fixture
def editor(cast):
    """Bob, for once an editor of fraud."""
    ProjectMember._base_manager.filter(user=cast.bob).update(role="editor")
    return client_of(make_api_token(cast.bob, cast.acme).text)


@pytest.fixture
def model(cast):
    return RegisteredModelFactory(project=cast.fraud, name="scorer")


# Experiments and runs


def test_create_numbers_an_experiment_of_its_project(alice):
    body = {"name": "trees", "tags": {"team": "risk"}}
    made = alice.post(FRAUD + "experiments/", body, **JSON)
    assert made.status_code == 201
    assert (made.json()["iid"], made.json()["tags"]) == (1, {"team": "risk"})
    assert made.json()["artifact_location"] == "mlflow-artifacts:/1"
    taken = alice.post(FRAUD + "experiments/", body, **JSON)
    assert taken.status_code == 409
    assert "trees" in error_of(taken)


def test_update_renames_an_experiment_and_adds_tags(alice):
    made = alice.post(
        FRAUD + "experiments/", {"name": "a", "tags": {"x": "1"}}, **JSON
    ).json()
    address = f"{FRAUD}experiments/{made['id']}/"
    changed = alice.patch(address, {"name": "b", "tags": {"y": "2"}}, **JSON).json()
    assert (changed["name"], changed["tags"]) == ("b", {"x": "1", "y": "2"})
    moved = alice.patch(address, {"artifact_location": "file:///etc"}, **JSON)
    assert moved.json()["artifact_location"] == made["artifact_location"]


def test_deleting_an_experiment_takes_its_runs_along_and_back(alice, make_runs):
    gone, kept = make_runs(2)
    alice.delete(f"{FRAUD}runs/{gone.pk}/")
    address = f"{FRAUD}experiments/{kept.experiment_id}/"
    assert alice.delete(address).status_code == 204
    assert alice.delete(address).status_code == 204
    assert rows_of(alice, FRAUD + "runs/") == []
    parent_first = alice.post(f"{FRAUD}runs/{gone.pk}/restore/")
    assert parent_first.status_code == 409
    assert alice.post(address + "restore/").status_code == 200
    assert [run["id"] for run in rows_of(alice, FRAUD + "runs/")] == [str(kept.pk)]
    assert alice.post(f"{FRAUD}runs/{gone.pk}/restore/").status_code == 200


def test_create_starts_a_run_by_the_caller(alice, cast):
    experiment = ExperimentFactory(project=cast.fraud)
    body = {"experiment": str(experiment.pk), "name": "night", "tags": {"a": "b"}}
    made = alice.post(FRAUD + "runs/", body, **JSON)
    assert made.status_code == 201, made.content
    run = made.json()
    assert (run["name"], run["status"], run["user_name"]) == (
        "night",
        "RUNNING",
        "alice",
    )
    assert run["tags"] == {"a": "b", "mlflow.runName": "night"}
    assert run["start_time_ms"] > 0
    finished = {"status": "FINISHED", "end_time_ms": run["start_time_ms"] + 5}
    changed = alice.patch(f"{FRAUD}runs/{run['run_id']}/", finished, **JSON).json()
    assert (changed["status"], changed["name"]) == ("FINISHED", "night")


def test_a_run_refers_to_experiments_of_its_own_project_only(alice, cast):
    unknown = alice.post(FRAUD + "runs/", {"experiment": str(uuid4())}, **JSON)
    for project in (cast.churn, cast.umbrella_fraud):
        experiment = ExperimentFactory(project=project)
        body = {"experiment": str(experiment.pk)}
        response = alice.post(FRAUD + "runs/", body, **JSON)
        assert (response.status_code, response.content) == (404, unknown.content)


def test_a_run_stays_in_its_experiment(alice, make_runs):
    (run,) = make_runs(1)
    body = {"experiment": str(ExperimentFactory(project=run.project).pk)}
    assert alice.patch(f"{FRAUD}runs/{run.pk}/", body, **JSON).status_code == 400


def test_a_viewer_reads_and_writes_nothing(bob, make_runs):
    (run,) = make_runs(1)
    assert len(rows_of(bob, FRAUD + "runs/")) == 1
    address = f"{FRAUD}runs/{run.pk}/"
    for response in (
        bob.patch(address, {"name": "x"}, **JSON),
        bob.delete(address),
        bob.post(FRAUD + "experiments/", {"name": "x"}, **JSON),
    ):
        assert response.status_code == 403
        assert "tracking:" in error_of(response)


def test_a_run_shows_its_package_in_sum(alice, make_runs):
    make_runs(2, files=3)
    for run in rows_of(alice, FRAUD + "runs/"):
        package = run["package"]
        assert package["name"] == f"ml_candidate_{run['iid']}"
        assert (package["file_count"], package["total_bytes"]) == (3, 9)
        assert len(package["files"]) == 3
        assert "params" not in run


def test_a_run_without_a_package_says_so(alice, make_runs):
    make_runs(1)
    assert rows_of(alice, FRAUD + "runs/")[0]["package"] is None


def test_a_list_shows_the_first_files_of_a_large_package(alice, make_runs):
    make_runs(1, files=60)
    package = rows_of(alice, FRAUD + "runs/")[0]["package"]
    assert (package["file_count"], len(package["files"])) == (60, 50)
    paths = [file["path"] for file in package["files"]]
    assert paths == sorted(paths)


def test_expand_chooses_what_is_read(alice, make_runs):
    make_runs(3, files=2)
    bare = alice.get(FRAUD + "runs/?expand=")
    full = alice.get(FRAUD + "runs/?expand=package,params,metrics,tags")
    assert "package" not in bare.json()["results"][0]
    assert {"package", "params", "metrics", "tags"} <= set(full.json()["results"][0])
    # Savepoint; admission; runs; release. Then packages, files, params, metrics, tags.
    assert [r["X-Query-Count"] for r in (bare, full)] == ["4", "9"]
    assert alice.get(FRAUD + "runs/?expand=secrets").status_code == 400


def test_a_run_without_its_expansions_is_as_described(alice, make_runs):
    make_runs(1)
    (bare,) = rows_of(alice, FRAUD + "runs/?expand=")
    assert set(description()["components"]["schemas"]["Run"]["required"]) <= set(bare)


def test_a_detail_page_shows_all_of_a_run(alice, cast):
    run = RunFactory(experiment__project=cast.fraud, start_time_ms=2**63 - 1)
    of_run = {"run": run, "experiment_id": run.experiment_id}
    models.Param(organization=cast.acme, key="depth", value="3", **of_run).save()
    for number, name in enumerate(("nan", "inf", "-inf", "half")):
        models.LatestMetric(
            id=uuid4(),
            organization_id=cast.acme.pk,
            name=name,
            value=0.5 if name == "half" else float(name),
            timestamp_ms=1,
            step=number,
            **of_run,
        ).save()
    shown = alice.get(f"{FRAUD}runs/{run.pk}/").json()
    assert shown["params"] == {"depth": "3"}
    assert {m["name"]: m["value"] for m in shown["metrics"]} == {
        "nan": "NaN",
        "inf": "Infinity",
        "-inf": "-Infinity",
        "half": 0.5,
    }
    assert (shown["start_time_ms"], shown["started_at"]) == (2**63 - 1, None)


def test_filters_narrow_the_list(alice, make_runs, cast):
    one, two = make_runs(2)
    other = RunFactory(experiment__project=cast.fraud, status="FAILED", name="x")
    for query, expected in (
        (f"iid={one.iid}", {one}),
        (f"experiment={one.experiment_id}", {one, two}),
        ("status=FAILED", {other}),
        ("name=x", {other}),
        ("status=FINISHED", set()),
        (f"experiment={uuid4()}", set()),
    ):
        found = {row["id"] for row in rows_of(alice, f"{FRAUD}runs/?{query}")}
        assert found == {str(run.pk) for run in expected}, query


@pytest.mark.parametrize(
    "query",
    [
        "iid=-1",
        "iid=9223372036854775808",
        "iid=1e400",
        "iid=NaN",
        "iid=x",
        "experiment=1",
        "status=running",
        "name=%00",
        "user_name=alice",
        "metadata__x=1",
        "organization_id=1",
    ],
)
def test_a_bad_filter_is_refused_by_name_and_value(alice, query):
    response = alice.get(f"{FRAUD}runs/?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in error_of(response)


@pytest.mark.parametrize(
    "key", ["x", "0", "%00", "None", "../runs", "a" * 500, "00000000"]
)
def test_an_id_that_is_none_is_not_found(alice, key):
    response = alice.get(f"{FRAUD}runs/{key}/")
    assert response.status_code == 404


# Models


def test_create_makes_a_model_with_tags(alice):
    body = {"name": "scorer", "description": "d", "tags": {"a": "1"}}
    made = alice.post(FRAUD + "models/", body, **JSON)
    assert made.status_code == 201
    assert made.json()["tags"] == {"a": "1"}
    taken = alice.post(FRAUD + "models/", body, **JSON)
    assert taken.status_code == 409
    assert error_of(taken) == (
        "Registered model with name 'scorer' already exists; choose another."
    )
    elsewhere = alice.post(ACME + "projects/churn/models/", body, **JSON)
    assert elsewhere.status_code == 201


@pytest.mark.parametrize(
    "name,expected",
    [
        ("", "blank"),
        (" a", "blank"),
        ("a ", "blank"),
        ("a/b", "'/' or ':'"),
        ("a:b", "'/' or ':'"),
        ("a%2Fb", "%2F"),
        ("a\u200bb", "cannot be seen"),
        ("a\u202eb", "cannot be seen"),
        ("cafe\u0301", "NFC"),
        ("s\u0441orer", "Cyrillic"),
        ("a" * 257, "256"),
    ],
)
def test_create_refuses_a_name_that_could_pass_for_another(alice, name, expected):
    response = alice.post(FRAUD + "models/", {"name": name}, **JSON)
    assert response.status_code == 400
    assert expected in error_of(response)


@pytest.mark.parametrize(
    "name", ["a", "a.b-c_d e", "модель", "café", "模型", "a" * 256]
)
def test_create_takes_any_plain_name(alice, name):
    assert alice.post(FRAUD + "models/", {"name": name}, **JSON).status_code == 201


def test_a_rename_is_for_maintainers_and_meets_no_twin(alice, editor, model, cast):
    RegisteredModelFactory(project=cast.fraud, name="taken")
    RegisteredModelFactory(project=cast.umbrella_fraud, name="theirs")
    address = f"{FRAUD}models/{model.pk}/"
    described = editor.patch(address, {"description": "x"}, **JSON)
    assert described.json()["description"] == "x"
    assert editor.patch(address, {"name": "y"}, **JSON).status_code == 403
    assert alice.patch(address, {"name": "taken"}, **JSON).status_code == 409
    assert alice.patch(address, {"name": "theirs"}, **JSON).status_code == 200


def test_a_deleted_model_frees_its_name_and_comes_back_without_a_twin(alice, model):
    ModelVersionFactory(registered_model=model, version=1)
    address = f"{FRAUD}models/{model.pk}/"
    assert alice.delete(address).status_code == 204
    assert rows_of(alice, FRAUD + "models/") == []
    assert rows_of(alice, FRAUD + "model-versions/") == []
    assert alice.get(address).json()["deleted_at"] is not None
    assert alice.patch(address, {"description": "x"}, **JSON).status_code == 400
    twin = alice.post(FRAUD + "models/", {"name": "scorer"}, **JSON).json()
    refused = alice.post(address + "restore/")
    assert refused.status_code == 409
    for named in (str(model.pk), twin["id"], "'scorer-restored'"):
        assert named in error_of(refused)
    alice.patch(f"{FRAUD}models/{twin['id']}/", {"name": "new"}, **JSON)
    assert alice.post(address + "restore/").status_code == 200
    assert len(rows_of(alice, FRAUD + "model-versions/")) == 1


def test_a_version_deleted_before_its_model_stays_deleted(alice, model):
    first, second = (
        ModelVersionFactory(registered_model=model, version=n) for n in (1, 2)
    )
    alice.delete(f"{FRAUD}model-versions/{first.pk}/")
    alice.delete(f"{FRAUD}models/{model.pk}/")
    alice.post(f"{FRAUD}models/{model.pk}/restore/")
    rows = rows_of(alice, FRAUD + "model-versions/")
    assert [row["id"] for row in rows] == [str(second.pk)]


@pytest.mark.parametrize("name", ["latest", "LATEST", "v1", "V12", "a b", "", "a/b"])
def test_an_alias_that_means_something_else_is_refused(alice, model, name):
    ModelVersionFactory(registered_model=model, version=1)
    body = {"name": name, "version": 1}
    response = alice.post(f"{FRAUD}models/{model.pk}/set-alias/", body, **JSON)
    assert response.status_code == 400


def test_an_alias_moves_and_goes(alice, model):
    for number in (1, 2):
        ModelVersionFactory(registered_model=model, version=number)
    address = f"{FRAUD}models/{model.pk}/"
    for number in (1, 2):
        body = {"name": "champion", "version": number}
        shown = alice.post(address + "set-alias/", body, **JSON).json()
        assert shown["aliases"] == {"champion": number}
    absent = {"name": "champion", "version": 3}
    assert alice.post(address + "set-alias/", absent, **JSON).status_code == 404
    gone = alice.post(address + "delete-alias/", {"name": "champion"}, **JSON)
    assert gone.json()["aliases"] == {}


# Versions


def test_create_numbers_versions_and_addresses_the_content_itself(alice, make_runs):
    (run,) = make_runs(1, files=1)
    model = alice.post(FRAUD + "models/", {"name": "scorer"}, **JSON).json()
    body = {"model": model["id"], "run": str(run.pk), "path": "out/model"}
    first = alice.post(FRAUD + "model-versions/", body, **JSON)
    assert first.status_code == 201, first.content
    assert first.json()["version"] == 1
    assert first.json()["source"] == f"runs:/{run.pk.hex}/out/model"
    assert first.json()["package"] is not None
    second = alice.post(FRAUD + "model-versions/", {"model": model["id"]}, **JSON)
    assert second.json()["version"] == 2


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../b", "a\\b", "file:///etc", "%2e%2e/x", "a//b", "."],
)
def test_a_path_that_climbs_is_refused(alice, model, make_runs, path):
    (run,) = make_runs(1)
    body = {"model": str(model.pk), "run": str(run.pk), "path": path}
    response = alice.post(FRAUD + "model-versions/", body, **JSON)
    assert response.status_code == 400


@pytest.mark.parametrize("field", ["source", "stage", "status", "run_link"])
def test_a_version_is_not_told_what_only_the_server_says(alice, model, field):
    body = {"model": str(model.pk), field: "file:///etc/passwd"}
    made = alice.post(FRAUD + "model-versions/", body, **JSON)
    assert made.status_code == 201
    assert "passwd" not in made.content.decode()


def test_a_version_refers_to_its_own_project_only(alice, model, cast):
    run = RunFactory(experiment__project=cast.churn)
    body = {"model": str(model.pk), "run": str(run.pk)}
    assert alice.post(FRAUD + "model-versions/", body, **JSON).status_code == 404
    theirs = RegisteredModelFactory(project=cast.umbrella_fraud)
    body = {"model": str(theirs.pk)}
    assert alice.post(FRAUD + "model-versions/", body, **JSON).status_code == 404


def transition(client, version, **body):
    address = f"{FRAUD}model-versions/{version.pk}/transition/"
    return client.post(address, body, **JSON)


def test_a_version_keeps_its_model(alice, model):
    version = ModelVersionFactory(registered_model=model, version=1)
    other = RegisteredModelFactory(project=model.project)
    address = f"{FRAUD}model-versions/{version.pk}/"
    assert alice.patch(address, {"model": str(other.pk)}, **JSON).status_code == 400
    changed = alice.patch(address, {"metadata": {"a": 1}}, **JSON)
    assert changed.json()["metadata"] == {"a": 1}


def test_a_transition_archives_what_it_replaces(alice, model):
    old, new = (ModelVersionFactory(registered_model=model, version=n) for n in (1, 2))
    assert transition(alice, old, stage="Production").json()["stage"] == "Production"
    transition(alice, new, stage="Production", archive_existing=True)
    rows = rows_of(alice, FRAUD + "model-versions/")
    assert {r["version"]: r["stage"] for r in rows} == {1: "Archived", 2: "Production"}


def test_only_a_maintainer_moves_into_and_out_of_production(alice, editor, model):
    version = ModelVersionFactory(registered_model=model, version=1)
    assert transition(editor, version, stage="Staging").status_code == 200
    refused = transition(editor, version, stage="Production")
    assert refused.status_code == 403
    assert "registry:promote" in error_of(refused)
    assert transition(alice, version, stage="Production").status_code == 200
    assert transition(editor, version, stage="Archived").status_code == 403
    assert transition(editor, version, stage="Production").status_code == 200


def test_archiving_goes_with_exclusive_stages_only(alice, model):
    version = ModelVersionFactory(registered_model=model, version=1)
    response = transition(alice, version, stage="Archived", archive_existing=True)
    assert response.status_code == 400
    assert "archive_existing" in error_of(response)


def test_a_version_that_is_not_ready_moves_nowhere(alice, model):
    version = ModelVersionFactory(
        registered_model=model, version=1, status="PENDING_REGISTRATION"
    )
    assert transition(alice, version, stage="Staging").status_code == 400


def test_a_restored_version_says_what_it_left_to_others(alice, model):
    first, second = (
        ModelVersionFactory(registered_model=model, version=n) for n in (1, 2)
    )
    aliases = f"{FRAUD}models/{model.pk}/set-alias/"
    for name in ("champion", "blue"):
        alice.post(aliases, {"name": name, "version": 1}, **JSON)
    transition(alice, first, stage="Production")
    address = f"{FRAUD}model-versions/{first.pk}/"
    assert alice.delete(address).status_code == 204
    assert rows_of(alice, FRAUD + "models/")[0]["aliases"] == {}
    assert transition(alice, first, stage="Staging").status_code == 400
    alice.post(aliases, {"name": "champion", "version": 2}, **JSON)
    transition(alice, second, stage="Production")
    restored = alice.post(address + "restore/").json()
    assert restored["left_behind"] == ["stage Production", "alias champion"]
    assert (restored["stage"], restored["aliases"]) == ("None", ["blue"])
    assert restored["metadata"] == {}


# Packages


def test_a_detail_page_pages_the_files(alice, cast):
    package = PackageFactory(project=cast.fraud)
    for name in "cab":
        PackageFileFactory(package=package, path=f"{name}.txt")
    address = f"{FRAUD}packages/{package.pk}/?limit=2"
    first = alice.get(address).json()
    assert (first["file_count"], first["total_bytes"]) == (3, 9)
    assert [f["path"] for f in first["files"]["results"]] == ["a.txt", "b.txt"]
    second = alice.get(first["files"]["next"]).json()["files"]
    assert [f["path"] for f in second["results"]] == ["c.txt"]
    assert second["next"] is None


def test_packages_in_a_list_are_live(alice, cast, make_runs):
    (run,) = make_runs(1, files=1)
    PackageFactory(project=cast.fraud, status="pending_destruction")
    (shown,) = rows_of(alice, FRAUD + "packages/")
    assert shown["name"] == f"ml_candidate_{run.iid}"
    assert alice.post(FRAUD + "packages/", {}, **JSON).status_code == 405


# Deployments


def test_a_deployment_goes_through_its_life(alice, model):
    version = ModelVersionFactory(registered_model=model, version=4)
    body = {
        "name": "live",
        "model_version": str(version.pk),
        "endpoint_url": "https://models.example.org/live",
    }
    made = alice.post(FRAUD + "deployments/", body, **JSON)
    assert made.status_code == 201, made.content
    shown = made.json()
    assert (shown["status"], shown["environment"]) == ("pending", "production")
    assert (shown["model_name"], shown["version"]) == ("scorer", 4)
    taken = alice.post(FRAUD + "deployments/", body, **JSON)
    assert "name 'live' and environment 'production'" in error_of(taken)
    address = f"{FRAUD}deployments/{shown['id']}/"
    active = alice.patch(address, {"status": "active"}, **JSON).json()
    assert active["deployed_at"] is not None
    back = alice.patch(address, {"status": "pending"}, **JSON)
    assert back.status_code == 400
    assert "can become failed, retired" in error_of(back)
    retired = alice.patch(address, {"status": "retired"}, **JSON).json()
    assert retired["retired_at"] is not None
    assert alice.patch(address, {"status": "active"}, **JSON).status_code == 200


@pytest.mark.parametrize(
    "url", ["ftp://x/", "javascript:alert(1)", "//x", "http://a b", "http://a\nb"]
)
def test_a_deployment_takes_web_addresses_only(alice, url):
    body = {"name": "live", "endpoint_url": url}
    response = alice.post(FRAUD + "deployments/", body, **JSON)
    assert response.status_code == 400
    assert "endpoint_url" in error_of(response)


def test_a_deployment_serves_versions_of_its_own_project(alice, cast):
    for project in (cast.churn, cast.umbrella_fraud):
        version = ModelVersionFactory(registered_model__project=project)
        body = {"name": "live", "model_version": str(version.pk)}
        assert alice.post(FRAUD + "deployments/", body, **JSON).status_code == 404


def test_a_restored_deployment_meets_no_twin(alice, cast):
    old = DeploymentFactory(
        model_version__registered_model__project=cast.fraud, name="live"
    )
    address = f"{FRAUD}deployments/{old.pk}/"
    alice.delete(address)
    twin = alice.post(FRAUD + "deployments/", {"name": "live"}, **JSON).json()
    refused = alice.post(address + "restore/")
    assert refused.status_code == 409
    assert twin["id"] in error_of(refused)
    alice.delete(f"{FRAUD}deployments/{twin['id']}/")
    assert alice.post(address + "restore/").json()["deleted_at"] is None


def test_mallory_finds_the_same_names_in_her_own_project_only(mallory, alice, cast):
    for project in (cast.fraud, cast.umbrella_fraud):
        run = RunFactory(experiment__project=project, iid=1, name="same")
        candidate_package(run, files=1)
    address = "/api/v1/organizations/umbrella/projects/fraud/runs/"
    assert mallory.get(FRAUD + "runs/").status_code == 404
    (hers,) = rows_of(mallory, address)
    (ours,) = rows_of(alice, FRAUD + "runs/")
    assert hers["package"]["id"] != ours["package"]["id"]

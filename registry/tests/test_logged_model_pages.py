"""Logged models in REST and in the admin: as many statements for any number of them."""

from __future__ import annotations

import pytest

from mlops.db.uuid7 import uuid7
from registry.admin.logged_models import LoggedModelAdmin
from registry.models import LoggedModelMetric, LoggedModelTag, RunModel
from registry.relations import NotPrefetched
from registry.tests.factories import LoggedModelFactory, RunFactory, model_package
from tenants.tests.superuser import AdminClient, superuser

LIST = "/api/v1/organizations/acme/projects/fraud/logged-models/"


@pytest.fixture
def run(cast):
    return RunFactory(experiment__project=cast.fraud)


def make(run, count: int):
    models = LoggedModelFactory.create_batch(
        count, experiment=run.experiment, source_run=run
    )
    for model in models:
        model_package(model, files=3)
        common = {"organization": model.organization, "logged_model": model}
        LoggedModelTag(**common, key="team", value="risk").save()
        RunModel(**common, run=run, role="output").save()
        LoggedModelMetric(
            id=uuid7(),
            organization_id=model.organization_id,
            logged_model=model,
            run=run,
            name="loss",
            value=0.5,
            timestamp_ms=1,
        ).save(force_insert=True)
    return models


def test_the_list_shows_packages_in_as_many_statements_for_any_page(alice, run):
    counts = set()
    made = 0
    for size in (1, 20):
        make(run, size - made)
        made = size
        response = alice.get(f"{LIST}?limit=200&expand=package,params,metrics,tags")
        rows = response.json()["results"]
        assert [row["package"]["file_count"] for row in rows] == [3] * size
        assert all(row["metrics"] and row["tags"] for row in rows)
        counts.add(response.headers["X-Query-Count"])
    assert len(counts) == 1
    assert int(counts.pop()) <= 10


def test_the_detail_tells_all_of_a_model(alice, run):
    (model,) = make(run, 1)
    found = alice.get(f"{LIST}{model.pk}/").json()
    assert found["model_id"] == f"m-{model.pk.hex}"
    assert found["artifact_uri"] == (
        f"mlflow-artifacts:/{run.experiment.iid}/models/{found['model_id']}/artifacts"
    )
    assert found["source_run"] == str(run.pk)
    assert found["tags"] == {"team": "risk"}
    assert found["package"]["name"] == f"ml_model_{model.pk.hex}"
    assert [m["name"] for m in found["metrics"]] == ["loss"]


def test_nobody_else_sees_a_model(mallory, alice, cast, run):
    (model,) = make(run, 1)
    address = f"{LIST}{model.pk}/"
    assert mallory.get(address).status_code == 404
    other = address.replace("/fraud/", "/churn/")
    never = f"{LIST}{uuid7()}/".replace("/fraud/", "/churn/")
    assert alice.get(other).content == alice.get(never).content
    assert alice.get(LIST.replace("/fraud/", "/churn/")).json()["results"] == []


def test_deleted_models_are_listed_on_demand_only(alice, run):
    (model,) = make(run, 1)
    type(model)._base_manager.filter(pk=model.pk).update(deleted_at="2026-01-01T00:00Z")
    assert alice.get(LIST).json()["results"] == []
    assert alice.get(f"{LIST}?deleted=true").json()["results"] != []


@pytest.fixture
def browser(db) -> AdminClient:
    return superuser()


def test_the_admin_shows_models_and_what_they_hold(browser, run):
    (model,) = make(run, 1)
    listed = browser.get("/admin/registry/loggedmodel/").content.decode()
    assert model.name in listed
    assert "3 files" in listed
    page = browser.get(f"/admin/registry/loggedmodel/{model.pk}/change/")
    text = page.content.decode()
    for expected in (f"m-{model.pk.hex}", "loss", "team", "risk", "folder/file-"):
        assert expected in text
    page = browser.get(f"/admin/registry/run/{run.pk}/change/").content.decode()
    assert model.name in page


def test_the_admin_s_list_takes_as_many_statements_for_any_page(browser, run):
    counts = set()
    for size in (1, 19):
        make(run, size)
        response = browser.get("/admin/registry/loggedmodel/")
        counts.add(response.headers["X-Query-Count"])
    assert len(counts) == 1


def test_the_admin_s_list_reads_no_package_alone(browser, run, monkeypatch):
    make(run, 1)
    monkeypatch.setattr(LoggedModelAdmin, "relations_of", lambda *_: [])
    with pytest.raises(NotPrefetched):
        browser.get("/admin/registry/loggedmodel/")

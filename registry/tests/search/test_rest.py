"""`?filter=` and `?order_by=` of REST: the language of MLflow's clients."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from conftest import client_of
from mlops.db.uuid7 import uuid7
from registry.models import (
    LatestMetric,
    LoggedModel,
    ModelVersionTag,
    Param,
    RegisteredModelTag,
    RunTag,
)
from registry.tests.factories import (
    ExperimentFactory,
    LoggedModelFactory,
    ModelVersionFactory,
    RegisteredModelFactory,
    RunFactory,
)
from tenants.api.openapi import description
from tenants.tests.factories import make_api_token

ACME = "/api/v1/organizations/acme/"
FRAUD = f"{ACME}projects/fraud/"


def names(client, collection, **query):
    response = client.get(FRAUD + collection + "/", query)
    assert response.status_code == 200, response.content
    return [row["name"] for row in response.json()["results"]]


def refusal(client, collection, **query):
    response = client.get(FRAUD + collection + "/", query)
    assert response.status_code == 400
    return response.json()["error"]["message"]


@pytest.fixture
def runs(cast):
    """Three runs of two experiments, the metric of the last one being NaN."""
    made = {}
    trees, vines = ExperimentFactory.create_batch(2, project=cast.fraud)
    for name, of, loss, depth in (
        ("ash", trees, 0.3, "3"),
        ("elm", trees, 0.1, "4"),
        ("ivy", vines, float("nan"), "3"),
    ):
        run = RunFactory(experiment=of, name=name)
        own = {"organization_id": of.organization_id, "experiment_id": of.pk}
        LatestMetric(
            id=uuid7(), run=run, name="loss", value=loss, timestamp_ms=1, **own
        ).save(force_insert=True)
        Param(run=run, key="depth", value=depth, **own).save(force_insert=True)
        RunTag(run=run, key="mlflow.runName", value=name, **own).save(force_insert=True)
        made[name] = run
    return made


RUNS = [
    ("metrics.loss < 0.2", ["elm"]),
    ("metrics.loss > 0.2", ["ash"]),
    ("params.depth = '3'", ["ivy", "ash"]),
    ("params.depth LIKE '3%' AND metrics.loss != 0", ["ivy", "ash"]),
    ("run_name LIKE '_l%'", ["elm"]),
    ("tags.absent IS NULL", ["ivy", "elm", "ash"]),
    ("status = 'RUNNING'", ["ivy", "elm", "ash"]),
]


@pytest.mark.parametrize("text,expected", RUNS)
def test_a_filter_finds_runs(alice, runs, text, expected):
    assert names(alice, "runs", filter=text) == expected


def test_a_filter_joins_the_other_parameters(alice, runs):
    found = names(
        alice,
        "runs",
        filter="params.depth = '3'",
        experiment=str(runs["ash"].experiment_id),
    )
    assert found == ["ash"]
    assert names(alice, "runs", filter="params.depth = '3'", name="ivy") == ["ivy"]


@pytest.mark.parametrize(
    "order,expected",
    [
        ("metrics.loss", ["elm", "ash", "ivy"]),
        ("metrics.loss DESC", ["ash", "elm", "ivy"]),
        ("params.depth DESC, metrics.`loss`", ["elm", "ash", "ivy"]),
        ("run_name DESC", ["ivy", "elm", "ash"]),
        ("end_time, run_name", ["ash", "elm", "ivy"]),
    ],
)
@pytest.mark.parametrize("limit", ["1", "2", "30"])
def test_an_order_is_kept_from_page_to_page(alice, runs, order, expected, limit):
    address, found = FRAUD + "runs/", []
    query = {"order_by": order, "limit": limit}
    while address:
        body = alice.get(address, query).json()
        found += [row["name"] for row in body["results"]]
        address, query = body["next"], {}
    assert found == expected


def test_a_filter_and_an_order_meet(alice, runs):
    found = names(alice, "runs", filter="params.depth = '3'", order_by="metrics.loss")
    assert found == ["ash", "ivy"]


WRONG = [
    ("runs", {"filter": "metrics.loss <"}, "(at position 15)"),
    ("runs", {"filter": " metrics.loss << 1"}, "(at position 15)"),
    ("runs", {"filter": "foo"}, "(at position 4)"),
    ("runs", {"filter": ""}, "filter='' is empty"),
    ("runs", {"order_by": ""}, "Could not be parsed."),
    ("runs", {"order_by": "metrics.loss down"}, "of order_by clause 1)"),
    ("runs", {"order_by": "status, foo"}, "of order_by clause 2)"),
    ("runs", {"order_by": "status,status"}, "duplicate fields"),
    ("runs", {"order_by": "status", "cursor": "x"}, "does not belong to this list"),
    ("experiments", {"filter": "metrics.x > 1"}, "Invalid entity type 'metrics'."),
    ("models", {"filter": "foo = 'x'"}, "Invalid attribute key 'foo'"),
    ("model-versions", {"filter": "version_number = 'x'"}, "Invalid value for num"),
    ("logged-models", {"filter": "metrics.x > 'a'"}, "Expected numeric value type"),
]


@pytest.mark.parametrize("collection,query,reason", WRONG)
def test_what_is_wrong_is_said_with_its_place(alice, collection, query, reason):
    assert reason in refusal(alice, collection, **query)


def test_a_cursor_belongs_to_its_filter_and_its_order(alice, runs):
    address = FRAUD + "runs/"
    body = alice.get(address, {"order_by": "run_name", "limit": "1"}).json()
    assert "order_by=run_name" in body["next"]
    for change in ("order_by=status", "order_by=run_name&filter=status%20%3D%20'x'"):
        other = body["next"].replace("order_by=run_name", change)
        assert alice.get(other).status_code == 400


def test_experiments_models_and_versions_are_found_too(alice, cast):
    for name in ("ash", "elm"):
        ExperimentFactory(project=cast.fraud, name=name)
        model = RegisteredModelFactory(project=cast.fraud, name=name)
        version = ModelVersionFactory(registered_model=model, version=1)
        own = {"organization": cast.acme, "key": "k", "value": name}
        RegisteredModelTag(registered_model=model, **own).save()
        ModelVersionTag(model_version=version, **own).save()
        LoggedModelFactory(experiment__project=cast.fraud, name=name)
    assert names(alice, "experiments", filter="name LIKE 'a%'") == ["ash"]
    assert names(alice, "models", filter="tags.k = 'elm'") == ["elm"]
    assert names(alice, "models", order_by="name DESC") == ["elm", "ash"]
    assert names(alice, "logged-models", filter="name != 'ash'") == ["elm"]
    response = alice.get(FRAUD + "model-versions/", {"filter": "tags.k = 'ash'"})
    assert [row["version"] for row in response.json()["results"]] == [1]
    response = alice.get(
        FRAUD + "model-versions/", {"order_by": "name DESC, version_number"}
    )
    assert len(response.json()["results"]) == 2


def test_prompts_are_models_to_rest(alice, cast):
    """MLflow hides them from its searches; lists of REST are whole."""
    model = RegisteredModelFactory(project=cast.fraud, name="prompt")
    tag = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    RegisteredModelTag(organization=cast.acme, registered_model=model, **tag).save()
    assert names(alice, "models", filter="name = 'prompt'") == ["prompt"]
    text = "tags.`mlflow.prompt.is_prompt` = 'true'"
    assert names(alice, "models", filter=text) == ["prompt"]


def test_deleted_rows_are_found_where_they_are_asked_for(alice, cast):
    model = LoggedModelFactory(experiment__project=cast.fraud, name="gone")
    LoggedModel._base_manager.filter(pk=model.pk).update(deleted_at=datetime.now(UTC))
    assert names(alice, "logged-models", filter="name = 'gone'") == []
    found = names(alice, "logged-models", filter="name = 'gone'", deleted="true")
    assert found == ["gone"]


def test_a_stranger_finds_nothing(runs, mallory, cast):
    own = "/api/v1/organizations/umbrella/projects/fraud/runs/"
    client = client_of(make_api_token(cast.mallory, cast.umbrella).text)
    for text in ("status = 'RUNNING'", "metrics.loss < 1", "tags.x IS NULL"):
        assert client.get(own, {"filter": text}).json()["results"] == []
        assert client.get(FRAUD + "runs/", {"filter": text}).status_code == 404


def test_a_filter_and_an_order_cost_no_statement_more(alice, cast):
    counts = {}
    for size in (1, 20):
        for run in RunFactory.create_batch(size, experiment__project=cast.fraud):
            own = {
                "organization_id": run.organization_id,
                "experiment_id": run.experiment_id,
            }
            Param(run=run, key="k", value="v", **own).save(force_insert=True)
        for query in ({}, {"filter": "params.k = 'v'", "order_by": "params.k"}):
            response = alice.get(FRAUD + "runs/", query)
            assert len(response.json()["results"]) >= size
            count = int(response.headers["X-Query-Count"])
            counts.setdefault(bool(query), set()).add(count)
    assert counts[True] == counts[False]
    assert len(counts[True]) == 1


@pytest.mark.parametrize(
    "collection", ["experiments", "runs", "models", "model-versions", "logged-models"]
)
def test_the_description_offers_both(collection):
    schema = description()
    path = "/api/v1/organizations/{organization}/projects/{project}/"
    parameters = schema["paths"][f"{path}{collection}/"]["get"]["parameters"]
    found = {each["name"]: each for each in parameters}
    assert "such as" in found["filter"]["description"]
    assert "such as" in found["order_by"]["description"]

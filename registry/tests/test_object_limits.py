"""Case G13: an object holds so many, and no more; what it has can always change."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mlops import settings as defaults
from registry.models import (
    Alias,
    Experiment,
    ModelVersion,
    Param,
    RegisteredModel,
    Run,
    RunInput,
    RunTag,
)
from registry.tests.factories import ModelVersionFactory
from registry.tests.protocol import data_of, error, statements

PROJECT = "/api/v1/organizations/acme/projects/fraud/"
DATASET = {"digest": "d", "source_type": "local", "source": "s"}


@pytest.fixture(autouse=True)
def low(settings) -> dict[str, int]:
    """Lower every limit to three; a test may change one."""
    settings.OBJECT_LIMITS = dict.fromkeys(settings.OBJECT_LIMITS, 3)
    return settings.OBJECT_LIMITS


def pairs(*keys: str, value: str = "v") -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key in keys]


def full(owner: str, holds: int, noun: str, more: int, setting: str) -> tuple:
    message = f"{owner} has {holds} {noun}; {more} more would exceed the limit of 3"
    return 400, "RESOURCE_LIMIT_EXCEEDED", f"{message} ({setting})."


def test_limits_are_generous_by_default():
    assert defaults.OBJECT_LIMITS["run_params"] == 10_000
    assert defaults.OBJECT_LIMITS["run_tags"] == 10_000
    assert min(defaults.OBJECT_LIMITS.values()) >= 1_000


# Params and tags of a run, on the hot path


def test_a_param_beyond_the_limit_is_refused_and_one_that_is_there_is_not(fraud):
    run = fraud.run()
    for key in "abc":
        fraud.ok("runs/log-parameter", run_id=run, key=key, value="1")
    refused = fraud.post("runs/log-parameter", run_id=run, key="d", value="1")
    assert error(refused) == full(f"Run {run}", 3, "params", 1, "LIMIT_RUN_PARAMS")
    fraud.ok("runs/log-parameter", run_id=run, key="c", value="1")
    changed = fraud.post("runs/log-parameter", run_id=run, key="c", value="2")
    assert "already logged" in error(changed)[2]
    assert set(data_of(fraud.run_of(run), "params")) == {"a", "b", "c"}


def test_a_tag_beyond_the_limit_is_refused_and_one_that_is_there_may_change(fraud):
    run = fraud.run()  # has mlflow.runName
    fraud.ok("runs/log-batch", run_id=run, tags=pairs("a", "b"))
    refused = fraud.post("runs/set-tag", run_id=run, key="c", value="1")
    assert error(refused) == full(f"Run {run}", 3, "tags", 1, "LIMIT_RUN_TAGS")
    fraud.ok("runs/set-tag", run_id=run, key="b", value="changed")
    fraud.ok("runs/set-tag", run_id=run, key="mlflow.runName", value="new name")
    fraud.ok("runs/delete-tag", run_id=run, key="a")
    fraud.ok("runs/set-tag", run_id=run, key="c", value="1")
    assert data_of(fraud.run_of(run), "tags") == {
        "b": "changed",
        "c": "1",
        "mlflow.runName": "new name",
    }


@pytest.mark.parametrize("noun", ["params", "tags"])
def test_a_batch_that_does_not_fit_stores_nothing(fraud, noun):
    run = fraud.run()
    other = "tags" if noun == "params" else "params"
    refused = fraud.post(
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "m", "value": 1, "timestamp": 1, "step": 0}],
        **{noun: pairs(*"abcd"), other: pairs("x")},
    )
    assert error(refused)[:2] == (400, "RESOURCE_LIMIT_EXCEEDED")
    data = fraud.run_of(run)["data"]
    assert not data.get("metrics")
    assert not data.get("params")
    assert [tag["key"] for tag in data["tags"]] == ["mlflow.runName"]


def test_a_batch_counts_only_what_is_new(fraud):
    run = fraud.run()
    fraud.ok("runs/log-batch", run_id=run, params=pairs("a", "b"))
    fraud.ok("runs/log-batch", run_id=run, params=pairs("a", "b", "c"))
    refused = fraud.post("runs/log-batch", run_id=run, params=pairs("a", "d", "e"))
    expected = full(f"Run {run}", 3, "params", 2, "LIMIT_RUN_PARAMS")
    assert error(refused) == expected


def test_a_run_above_a_lowered_limit_keeps_what_it_has(fraud, low):
    run = fraud.run()
    fraud.ok("runs/log-batch", run_id=run, params=pairs(*"abc"))
    low["run_params"] = 1
    fraud.ok("runs/log-batch", run_id=run, params=pairs(*"abc"))
    refused = fraud.post("runs/log-parameter", run_id=run, key="d", value="v")
    assert error(refused)[2].startswith(f"Run {run} has 3 params; 1 more")


def test_other_runs_of_the_project_do_not_count(fraud):
    full_run, other = fraud.run(), fraud.run()
    fraud.ok("runs/log-batch", run_id=full_run, params=pairs(*"abc"))
    fraud.ok("runs/log-batch", run_id=other, params=pairs(*"abc"))


def test_a_limit_costs_the_hot_path_no_statement(fraud):
    run = fraud.run()
    answers = [
        fraud.post("runs/log-parameter", run_id=run, key="a", value="1"),
        fraud.post("runs/set-tag", run_id=run, key="a", value="1"),
        fraud.post("runs/log-batch", run_id=run, params=pairs("b"), tags=pairs("b")),
    ]
    assert [statements(each) for each in answers] == [1, 1, 1]


def test_a_run_is_not_made_with_more_tags_than_it_may_have(fraud, stranger):
    body: dict[str, Any] = {"experiment_id": "0", "tags": pairs(*"abc")}
    refused = fraud.post("runs/create", **body)
    assert error(refused) == full("The new run", 0, "tags", 4, "LIMIT_RUN_TAGS")
    assert not Run._base_manager.exists()
    fraud.ok("runs/create", experiment_id="0", tags=pairs("a", "b"))
    unknown = stranger.post(
        "/api/2.0/mlflow/runs/create", orjson.dumps(body), "application/json"
    )
    assert unknown.status_code == 401


def test_rest_makes_no_run_with_more_tags_either(alice, cast, fraud):
    experiment = Experiment._base_manager.get(project=cast.fraud, iid=0)
    body = {"experiment": str(experiment.pk), "tags": dict.fromkeys("abcd", "v")}
    answer = alice.post(PROJECT + "runs/", body, "application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        400,
        "limit_exceeded",
    )
    assert "LIMIT_RUN_TAGS" in answer.json()["error"]["message"]
    assert not RunTag._base_manager.exists()


def test_a_run_takes_so_many_datasets(fraud):
    run = fraud.run()

    def log(*names: str) -> Any:
        uses = [{"dataset": {**DATASET, "name": name}} for name in names]
        return fraud.post("runs/log-inputs", run_id=run, datasets=uses)

    assert log("a", "b").status_code == 200
    assert log("a", "b", "c").status_code == 200
    expected = full(f"Run {run}", 3, "inputs", 1, "LIMIT_RUN_INPUTS")
    assert error(log("c", "d")) == expected
    assert RunInput._base_manager.count() == 3


# Experiments


def test_an_experiment_takes_so_many_tags(fraud):
    number = fraud.experiment(tags=pairs(*"abc"))
    tag = "experiments/set-experiment-tag"
    refused = fraud.post(tag, experiment_id=number, key="d", value="v")
    owner = f"Experiment {number}"
    assert error(refused) == full(owner, 3, "tags", 1, "LIMIT_EXPERIMENT_TAGS")
    fraud.ok(tag, experiment_id=number, key="c", value="changed")
    made = fraud.post("experiments/create", name="more", tags=pairs(*"abcd"))
    assert error(made)[:2] == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert not Experiment._base_manager.filter(name="more").exists()


def test_a_project_takes_so_many_experiments_deleted_ones_included(fraud, churn):
    fraud.experiment("one")  # beside Default
    fraud.ok("experiments/delete", experiment_id=fraud.experiment("two"))
    refused = fraud.post("experiments/create", name="three")
    setting = "LIMIT_PROJECT_EXPERIMENTS"
    assert error(refused) == full("Project fraud", 3, "experiments", 1, setting)
    churn.experiment("three")


# Models


@pytest.fixture
def model(cast) -> RegisteredModel:
    version = ModelVersionFactory(registered_model__project=cast.fraud, version=1)
    return version.registered_model


def test_a_project_takes_so_many_models_and_deleted_ones_make_room(alice):
    def make(name: str) -> Any:
        return alice.post(PROJECT + "models/", {"name": name}, "application/json")

    made = [make(name) for name in "abc"]
    assert [each.status_code for each in made] == [201, 201, 201]
    refused = make("d")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "limit_exceeded"
    alice.delete(f"{PROJECT}models/{made[0].json()['id']}/")
    assert make("d").status_code == 201


def test_a_model_takes_so_many_versions(alice, model):
    def make() -> Any:
        body = {"model": str(model.pk), "source": "runs:/x"}
        return alice.post(PROJECT + "model-versions/", body, "application/json")

    answers = [make() for _ in range(3)]
    assert [each.status_code for each in answers] == [201, 201, 400], answers[0].content
    assert "LIMIT_MODEL_VERSIONS" in answers[2].json()["error"]["message"]
    assert ModelVersion._base_manager.count() == 3


def test_a_batch_may_fill_a_run_to_the_last_place(fraud, low):
    low["run_params"] = 150
    run = fraud.run()
    fraud.ok("runs/log-batch", run_id=run, params=pairs(*map(str, range(100))))
    more = pairs(*(f"x{number}" for number in range(51)))
    assert error(fraud.post("runs/log-batch", run_id=run, params=more))[0] == 400
    fraud.ok("runs/log-batch", run_id=run, params=more[:50])
    assert Param._base_manager.count() == 150


def test_a_model_takes_so_many_aliases_and_moves_those_it_has(alice, model):
    def put(name: str) -> Any:
        address = f"{PROJECT}models/{model.pk}/set-alias/"
        body = {"name": name, "version": 1}
        return alice.post(address, body, "application/json")

    answers = [put(name) for name in ("a", "b", "c", "c", "d")]
    assert [each.status_code for each in answers] == [200, 200, 200, 200, 400]
    assert "LIMIT_MODEL_ALIASES" in answers[-1].json()["error"]["message"]
    assert Alias._base_manager.count() == 3


@pytest.mark.parametrize("place", ["models", "model-versions"])
def test_models_and_versions_take_so_many_tags(alice, model, place):
    version = ModelVersion._base_manager.get(registered_model=model)
    owner = model if place == "models" else version
    address = f"{PROJECT}{place}/{owner.pk}/"

    def patch(*keys: str) -> Any:
        body = {"tags": dict.fromkeys(keys, "v")}
        return alice.patch(address, body, "application/json")

    answers = [patch("a", "b"), patch("b", "c"), patch("c", "d")]
    assert [each.status_code for each in answers] == [200, 200, 400]
    assert answers[2].json()["error"]["code"] == "limit_exceeded"

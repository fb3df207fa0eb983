"""Logged models over MLflow's protocol: made, filled, finished, found and used."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from django.db import IntegrityError, transaction

from mlops.db import hot
from mlops.db.uuid7 import uuid7
from registry.models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelTag,
    Package,
    Run,
    RunModel,
)
from registry.tests.factories import LoggedModelFactory, RunFactory
from registry.tests.protocol import (
    PREFIX,
    Tracking,
    absent,
    error,
    invalid,
    missing,
    read,
    statements,
    tracking_as,
)
from tenants.tests.factories import (
    MembershipFactory,
    ProjectMemberFactory,
    UserFactory,
)
from tests.mounts import every_mount

MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
UNKNOWN = f"m-{'0' * 32}"
# Tests run in a transaction of their own, so a request's is a savepoint of it.
SAVEPOINT = 2


def send(tracking: Tracking, method: str, path: str, **body):
    return tracking.client.generic(
        method,
        tracking.prefix + path,
        data=b"" if not body and method == "DELETE" else orjson.dumps(body),
        content_type="application/json",
    )


def create(tracking: Tracking, **more) -> dict:
    body = {"experiment_id": "0", "name": "forest", **more}
    return tracking.ok("logged-models", **body)["model"]


def id_of(model: dict) -> str:
    return model["info"]["model_id"]


def get(tracking: Tracking, model_id: str, **query) -> dict:
    return tracking.read(f"logged-models/{model_id}", **query)["model"]


def row(model: dict) -> LoggedModel:
    return LoggedModel._base_manager.get(pk=id_of(model).removeprefix("m-"))


def pairs(texts: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in texts.items()]


def texts(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in items}


def search(tracking: Tracking, **more) -> list[str]:
    body = {"experiment_ids": ["0"], **more}
    found = tracking.ok("logged-models/search", **body).get("models", [])
    return [model["info"]["name"] for model in found]


# Create and read


@every_mount
def test_a_created_model_answers_as_mlflow_does(cast, mount):
    tracking = tracking_as(cast.alice, cast.fraud)
    tracking.prefix = mount.url("")
    tracking.client.defaults.update(
        {f"HTTP_{n.upper().replace('-', '_')}": v for n, v in mount.headers.items()}
    )
    run = tracking.run()
    model = create(
        tracking,
        model_type="tree",
        source_run_id=run,
        params=pairs({"depth": "3"}),
        tags=pairs({"team": "risk"}),
    )
    info = model["info"]
    model_id = info["model_id"]
    assert MODEL_ID.fullmatch(model_id)
    assert info["last_updated_timestamp_ms"] >= info["creation_timestamp_ms"] > 0
    assert model == {
        "info": {
            "model_id": model_id,
            "experiment_id": "0",
            "name": "forest",
            "creation_timestamp_ms": info["creation_timestamp_ms"],
            "last_updated_timestamp_ms": info["last_updated_timestamp_ms"],
            "artifact_uri": f"mlflow-artifacts:/0/models/{model_id}/artifacts",
            "status": "LOGGED_MODEL_PENDING",
            "model_type": "tree",
            "source_run_id": run,
            "tags": [{"key": "team", "value": "risk"}],
        },
        "data": {"params": [{"key": "depth", "value": "3"}]},
    }
    assert get(tracking, model_id) == model
    stored = row(model)
    assert (stored.organization_id, stored.project_id) == (cast.acme.pk, cast.fraud.pk)
    assert (stored.id.version, stored.created_by) == (7, cast.alice.pk)


def test_a_model_without_a_name_gets_one(fraud):
    model = fraud.ok("logged-models", experiment_id="0")["model"]
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d+", model["info"]["name"])


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", "a'b", 'a"b'])
def test_a_name_that_looks_like_a_path_is_refused(fraud, name):
    status, code, message = error(
        fraud.post("logged-models", experiment_id="0", name=name)
    )
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert message.startswith("Invalid model name (")
    assert not LoggedModel._base_manager.exists()


def test_a_model_needs_an_active_experiment(fraud):
    assert error(fraud.post("logged-models", name="a")) == missing("experiment_id")
    response = fraud.post("logged-models", experiment_id="77")
    assert error(response) == absent("No Experiment with id=77 exists")
    experiment = fraud.experiment("gone")
    fraud.ok("experiments/delete", experiment_id=experiment)
    response = fraud.post("logged-models", experiment_id=experiment)
    assert error(response) == invalid(
        f"The experiment {experiment} must be in the 'active' state. "
        "Current state is deleted."
    )


def test_a_source_run_that_is_not_there_is_not_found(fraud, stranger_in_fraud):
    for run in (stranger_in_fraud.run(), "0" * 32):
        response = fraud.post("logged-models", experiment_id="0", source_run_id=run)
        assert error(response) == absent(f"Run with id={run} not found")


def test_a_source_run_that_is_no_id_is_kept_as_text(fraud):
    made = fraud.ok("logged-models", experiment_id="0", source_run_id="123")
    assert made["model"]["info"]["source_run_id"] == "123"
    response = fraud.post("logged-models", experiment_id="0", source_run_id="r" * 33)
    assert error(response) == invalid(
        "'source_run_id' exceeds the maximum length of 32 characters"
    )


@pytest.mark.parametrize("model_id", [UNKNOWN, "m-1", "0" * 32, "M-" + "0" * 32])
def test_an_id_of_nothing_is_not_found(fraud, model_id):
    expected = absent(f"Logged model with ID '{model_id}' not found.")
    path = f"logged-models/{model_id}"
    assert error(fraud.get(path)) == expected
    assert error(fraud.get(f"{path}/artifacts/directories")) == expected
    assert error(fraud.post(f"{path}/params", params=[])) == expected
    assert error(send(fraud, "PATCH", f"{path}/tags", tags=[])) == expected
    assert error(send(fraud, "DELETE", f"{path}/tags/a")) == expected
    assert error(send(fraud, "DELETE", path)) == expected
    response = send(fraud, "PATCH", path, status="LOGGED_MODEL_READY")
    assert error(response) == expected


def test_reading_a_model_takes_few_statements(fraud):
    model_id = id_of(create(fraud, params=pairs({"a": "1"}), tags=pairs({"b": "2"})))
    log_metrics(fraud, fraud.run(), model_id, 3)
    response = fraud.get(f"logged-models/{model_id}")
    # Admission; the model with its experiment; params; tags; metrics.
    assert statements(response) == 5 + SAVEPOINT


# Finish, delete


@pytest.mark.parametrize(
    "said,shown",
    [
        ("LOGGED_MODEL_READY", "LOGGED_MODEL_READY"),
        (2, "LOGGED_MODEL_READY"),
        ("LOGGED_MODEL_UPLOAD_FAILED", "LOGGED_MODEL_UPLOAD_FAILED"),
        (1, "LOGGED_MODEL_PENDING"),
    ],
)
def test_finalizing_says_what_became_of_a_model(fraud, said, shown):
    model_id = id_of(create(fraud))
    response = send(
        fraud, "PATCH", f"logged-models/{model_id}", model_id=model_id, status=said
    )
    assert read(response)["model"]["info"]["status"] == shown
    assert get(fraud, model_id)["info"]["status"] == shown


@pytest.mark.parametrize("status", ["READY", 0, 9, True, [], {"a": 1}])
def test_a_status_that_is_none_is_refused(fraud, status):
    model_id = id_of(create(fraud))
    response = send(fraud, "PATCH", f"logged-models/{model_id}", status=status)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert get(fraud, model_id)["info"]["status"] == "LOGGED_MODEL_PENDING"


def test_a_deleted_model_is_not_found_unless_asked_for(fraud):
    model = create(fraud)
    model_id = id_of(model)
    body = {"model_id": model_id}
    assert read(send(fraud, "DELETE", f"logged-models/{model_id}", **body)) == {}
    response = fraud.get(f"logged-models/{model_id}")
    assert error(response) == absent(f"Logged model with ID '{model_id}' not found.")
    assert id_of(get(fraud, model_id, allow_deleted="true")) == model_id
    assert search(fraud) == []
    assert row(model).deleted_at is not None


def test_an_editor_deletes_no_model_of_another(cast, fraud):
    eve = UserFactory(username="eve")
    MembershipFactory(organization=cast.acme, user=eve, role="member")
    ProjectMemberFactory(project=cast.fraud, user=eve, role="editor")
    editor = tracking_as(eve, cast.fraud)
    response = send(editor, "DELETE", f"logged-models/{id_of(create(fraud))}")
    assert error(response)[:2] == (403, "PERMISSION_DENIED")
    mine = id_of(create(editor))
    assert read(send(editor, "DELETE", f"logged-models/{mine}")) == {}


# Params and tags


def test_params_are_added_and_never_changed(fraud):
    model_id = id_of(create(fraud, params=pairs({"a": "1"})))
    path = f"logged-models/{model_id}/params"
    assert fraud.ok(path, params=pairs({"a": "1", "b": "2"})) == {}
    assert texts(get(fraud, model_id)["data"]["params"]) == {"a": "1", "b": "2"}
    response = fraud.post(path, params=pairs({"c": "3", "a": "4"}))
    assert error(response) == invalid(
        "Changing param values is not allowed. Param with key='a' was already logged "
        f"with value='1' for model ID='{model_id}'. Attempted logging new value '4'."
    )
    assert texts(get(fraud, model_id)["data"]["params"]) == {"a": "1", "b": "2"}


def test_a_param_that_is_too_long_is_cut_and_its_key_refused(fraud):
    model_id = id_of(create(fraud, params=pairs({"a": "x" * 7000})))
    assert texts(get(fraud, model_id)["data"]["params"]) == {"a": "x" * 6000}
    path = f"logged-models/{model_id}/params"
    response = fraud.post(path, params=pairs({"k" * 251: "1"}))
    assert error(response) == invalid(
        "'params[0].key' exceeds the maximum length of 250 characters"
    )


def test_tags_are_set_anew_and_taken_away(fraud):
    model_id = id_of(create(fraud, tags=pairs({"a": "1"})))
    path = f"logged-models/{model_id}/tags"
    tags = pairs({"a": "2", "x/y z": "3"})
    assert read(send(fraud, "PATCH", path, tags=tags)) == {}
    assert texts(get(fraud, model_id)["info"]["tags"]) == {"a": "2", "x/y z": "3"}
    # The client sends no body, and so says of no kind what it is.
    assert read(fraud.client.delete(f"{PREFIX}{path}/x/y z", content_type="")) == {}
    assert texts(get(fraud, model_id)["info"]["tags"]) == {"a": "2"}
    response = send(fraud, "DELETE", f"{path}/never")
    assert error(response) == absent(
        f"No tag with key 'never' found for model with ID '{model_id}'."
    )


def test_params_and_tags_have_a_limit(fraud, settings):
    settings.OBJECT_LIMITS = {
        **settings.OBJECT_LIMITS,
        "logged_model_params": 2,
        "logged_model_tags": 2,
    }
    model_id = id_of(create(fraud, params=pairs({"a": "1", "b": "2"})))
    path = f"logged-models/{model_id}"
    response = fraud.post(f"{path}/params", params=pairs({"c": "3"}))
    status, code, message = error(response)
    assert (status, code) == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert "LIMIT_LOGGED_MODEL_PARAMS" in message
    fraud.ok(f"{path}/params", params=pairs({"a": "1"}))
    response = send(
        fraud, "PATCH", f"{path}/tags", tags=pairs({"a": "", "b": "", "c": ""})
    )
    assert error(response)[1] == "RESOURCE_LIMIT_EXCEEDED"


# Metrics


def log_metrics(tracking: Tracking, run: str, model_id: str, count: int) -> None:
    metrics = [
        {
            "key": "loss",
            "value": 1 / step,
            "timestamp": 1000 + step,
            "step": step,
            "model_id": model_id,
            "dataset_name": "train",
            "dataset_digest": "d1",
        }
        for step in range(1, count + 1)
    ]
    tracking.ok("runs/log-batch", run_id=run, metrics=metrics)


def test_a_metric_of_a_model_is_the_run_s_as_well(fraud):
    run, model_id = fraud.run(), id_of(create(fraud))
    response = fraud.post(
        "runs/log-metric",
        run_id=run,
        key="acc",
        value=0.5,
        timestamp=7,
        step=2,
        model_id=model_id,
        dataset_name="valid",
        dataset_digest="d2",
    )
    assert (read(response), statements(response)) == ({}, 1)
    assert fraud.history(run, "acc") == [(7, 2, 0.5)]
    assert get(fraud, model_id)["data"]["metrics"] == [
        {
            "key": "acc",
            "value": 0.5,
            "timestamp": 7,
            "step": 2,
            "model_id": model_id,
            "run_id": run,
            "dataset_name": "valid",
            "dataset_digest": "d2",
        }
    ]


def test_a_batch_feeds_the_models_that_its_metrics_name(fraud):
    run, first, second = fraud.run(), id_of(create(fraud)), id_of(create(fraud))
    point = {"key": "b", "timestamp": 1, "step": 0}
    metrics = [
        {**point, "value": 1.0, "model_id": second},
        {**point, "value": 2.0},
        {**point, "key": "a", "value": 3.0, "model_id": first},
    ]
    body = {"run_id": run, "metrics": metrics, "params": pairs({"p": "1"})}
    response = fraud.post("runs/log-batch", **body)
    assert (read(response), statements(response)) == ({}, 1)
    values = {
        model: [(m["key"], m["value"]) for m in get(fraud, model)["data"]["metrics"]]
        for model in (first, second)
    }
    assert values == {first: [("a", 3.0)], second: [("b", 1.0)]}
    assert sorted(fraud.history(run, "b")) == [(1, 0, 1.0), (1, 0, 2.0)]
    # Sent once more, after a lost answer.
    fraud.ok("runs/log-batch", **body)
    assert LoggedModelMetric._base_manager.count() == 2


def test_a_metric_without_a_model_asks_nothing_of_models(fraud, monkeypatch):
    asked = []
    fetch = hot._fetch
    monkeypatch.setattr(
        hot, "_fetch", lambda text, given: asked.append(text) or fetch(text, given)
    )
    run = fraud.run()
    asked.clear()
    fraud.ok("runs/log-metric", run_id=run, key="a", value=1, timestamp=1)
    fraud.ok(
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "a", "value": 1, "timestamp": 2, "step": 1}],
    )
    assert len(asked) == 2
    assert not any("model" in text for text in asked)


@pytest.mark.parametrize("case", ["unknown", "malformed", "foreign", "deleted"])
def test_a_metric_of_a_model_that_is_not_there_stores_nothing(
    fraud, stranger_in_fraud, case
):
    run = fraud.run()
    model_id = {
        "unknown": lambda: UNKNOWN,
        "malformed": lambda: "forest",
        "foreign": lambda: id_of(create(stranger_in_fraud)),
        "deleted": lambda: deleted(fraud),
    }[case]()
    expected = absent(f"Logged model with ID '{model_id}' not found.")
    point = {"key": "a", "value": 1.0, "timestamp": 1}
    response = fraud.post("runs/log-metric", run_id=run, **point, model_id=model_id)
    assert error(response) == expected
    good = {**point, "model_id": id_of(create(fraud))}
    metrics = [good, {**point, "model_id": model_id}]
    response = fraud.post("runs/log-batch", run_id=run, metrics=metrics)
    assert error(response) == expected
    assert fraud.history(run, "a") == []
    assert not LoggedModelMetric._base_manager.exists()


def deleted(tracking: Tracking) -> str:
    model_id = id_of(create(tracking))
    read(send(tracking, "DELETE", f"logged-models/{model_id}"))
    return model_id


def test_nan_and_infinity_leave_as_mlflow_writes_them(fraud):
    run, model_id = fraud.run(), id_of(create(fraud))
    for step, value in enumerate(["NaN", "Infinity", "-Infinity"]):
        fraud.ok(
            "runs/log-metric",
            run_id=run,
            key="a",
            value=value,
            timestamp=step,
            model_id=model_id,
        )
    values = [m["value"] for m in get(fraud, model_id)["data"]["metrics"]]
    assert values == ["NaN", 1.7976931348623157e308, -1.7976931348623157e308]


def test_a_model_shows_its_newest_thousand_metrics(fraud):
    run, model_id = fraud.run(), id_of(create(fraud))
    log_metrics(fraud, run, model_id, 1000)
    newest = {"key": "loss", "value": 9, "timestamp": 5000, "model_id": model_id}
    fraud.ok("runs/log-metric", run_id=run, **newest)
    metrics = get(fraud, model_id)["data"]["metrics"]
    assert len(metrics) == 1000
    assert (metrics[0]["step"], metrics[-1]["timestamp"]) == (2, 5000)


# Search


def test_search_shows_the_newest_first(fraud):
    other = fraud.experiment("other")
    for name in ("a", "b"):
        create(fraud, name=name)
    create(fraud, name="c", experiment_id=other)
    assert search(fraud) == ["b", "a"]
    assert search(fraud, experiment_ids=["0", other, "99"]) == ["c", "b", "a"]
    assert fraud.ok("logged-models/search", experiment_ids=["99"]) == {}
    assert error(fraud.post("logged-models/search")) == missing("experiment_ids")


def test_search_turns_pages_to_the_end(fraud):
    names = [f"n{number}" for number in range(5)]
    for name in names:
        create(fraud, name=name)
    found, token, pages = [], "", 0
    while True:
        body = {"experiment_ids": ["0"], "max_results": 2, "page_token": token}
        page = fraud.ok("logged-models/search", **body)
        found += [model["info"]["name"] for model in page["models"]]
        pages += 1
        token = page.get("next_page_token", "")
        if not token:
            break
    assert (found, pages) == (names[::-1], 3)


def test_a_page_token_belongs_to_its_request(fraud):
    for name in ("a", "b"):
        create(fraud, name=name)
    body = {"experiment_ids": ["0"], "max_results": 1}
    token = fraud.ok("logged-models/search", **body)["next_page_token"]
    for changed in (
        {"experiment_ids": ["1"]},
        {"filter": "name = 'a'"},
        {"order_by": [{"field_name": "name"}]},
        {"datasets": [{"dataset_name": "d"}]},
        {"page_token": "x"},
    ):
        response = fraud.post(
            "logged-models/search", **{**body, "page_token": token, **changed}
        )
        assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "text,names",
    [
        ("name = 'a'", ["a", "a"]),
        ('attributes.name="a"', ["a", "a"]),
        ("name = 'c'", []),
        ("  ", ["a", "b", "a"]),
    ],
)
def test_search_finds_by_name(fraud, text, names):
    for name in ("a", "b", "a"):
        create(fraud, name=name)
    assert search(fraud, filter=text) == names


def test_search_finds_by_ids_as_the_web_ui_asks(fraud, stranger_in_fraud):
    ids = [id_of(create(fraud, name=name)) for name in ("a", "b", "c")]
    foreign = id_of(create(stranger_in_fraud))
    wanted = ",".join(f"'{each}'" for each in (ids[0], ids[2], foreign, "m-1"))
    assert search(fraud, filter=f"attributes.model_id IN ({wanted})") == ["c", "a"]


def test_search_takes_as_many_statements_for_any_page(fraud, cast):
    run = RunFactory(experiment__project=cast.fraud)
    experiment, counts, made = run.experiment, set(), 0
    for size in (1, 20, 200):
        fill(LoggedModelFactory.create_batch(size - made, experiment=experiment), run)
        made = size
        ids = [str(experiment.iid)]
        response = fraud.post(
            "logged-models/search", experiment_ids=ids, max_results=200
        )
        found = read(response)["models"]
        assert len(found) == size
        assert all({"params", "metrics"} <= set(model["data"]) for model in found)
        assert all(model["info"]["tags"] for model in found)
        counts.add(statements(response))
    # Admission; models with experiments; params; tags; metrics.
    assert counts == {5 + SAVEPOINT}


def fill(models: list[LoggedModel], run: Run) -> None:
    """Give each model a param, a tag and a metric of the run."""
    kinds: tuple[Any, ...] = (LoggedModelParam, LoggedModelTag)
    for kind in kinds:
        kind._base_manager.bulk_create(
            kind(organization=m.organization, logged_model=m, key="a", value="1")
            for m in models
        )
    LoggedModelMetric._base_manager.bulk_create(
        LoggedModelMetric(
            id=uuid7(),
            organization_id=m.organization_id,
            logged_model=m,
            run=run,
            name="loss",
            value=1.0,
            timestamp_ms=1,
        )
        for m in models
    )


# What runs have to do with models


def test_a_run_tells_what_it_used_and_brought_forth(fraud):
    run = fraud.run()
    used, made = id_of(create(fraud)), id_of(create(fraud))
    outputs = [{"model_id": made, "step": 3}, {"model_id": made, "step": 5}]
    assert fraud.ok("runs/outputs", run_id=run, models=outputs) == {}
    assert fraud.ok("runs/log-inputs", run_id=run, models=[{"model_id": used}]) == {}
    # Sent once more, after a lost answer.
    fraud.ok("runs/outputs", run_id=run, models=outputs)
    fraud.ok("runs/log-inputs", run_id=run, models=[{"model_id": used}])
    document = fraud.run_of(run)
    assert document["inputs"] == {"model_inputs": [{"model_id": used}]}
    assert document["outputs"] == {"model_outputs": outputs}
    found = fraud.ok("runs/search", experiment_ids=["0"])["runs"]
    assert found == [document]


def test_datasets_and_models_are_inputs_side_by_side(fraud):
    run, used = fraud.run(), id_of(create(fraud))
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "s"}
    fraud.ok(
        "runs/log-inputs",
        run_id=run,
        datasets=[{"dataset": dataset}],
        models=[{"model_id": used}],
    )
    inputs = fraud.run_of(run)["inputs"]
    assert inputs == {
        "dataset_inputs": [{"dataset": dataset}],
        "model_inputs": [{"model_id": used}],
    }


@pytest.mark.parametrize("path", ["runs/outputs", "runs/log-inputs"])
def test_a_use_of_a_model_that_is_not_there_stores_nothing(
    fraud, stranger_in_fraud, path
):
    run, mine = fraud.run(), id_of(create(fraud))
    for model_id in (UNKNOWN, "m-1", id_of(create(stranger_in_fraud))):
        models = [{"model_id": mine}, {"model_id": model_id}]
        response = fraud.post(path, run_id=run, models=models)
        message = f"Logged model with ID '{model_id}' not found."
        assert error(response) == absent(message)
    assert not RunModel._base_manager.exists()


@pytest.mark.parametrize("path", ["runs/outputs", "runs/log-inputs"])
@pytest.mark.parametrize(
    "models", [["m-1"], [{}], [{"model_id": 5}], [{"model_id": "m-1", "step": "x"}]]
)
def test_a_use_of_another_form_is_refused(fraud, path, models):
    response = fraud.post(path, run_id=fraud.run(), models=models)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("fields", [{}, {"models": None}, {"models": ""}])
def test_outputs_without_models_are_refused(fraud, fields):
    response = fraud.post("runs/outputs", run_id="nope", **fields)
    assert error(response)[0] == 400
    assert "Missing value for required parameter 'models'." in error(response)[2]


def test_a_deleted_run_takes_no_outputs(fraud):
    run, model_id = fraud.run(), id_of(create(fraud))
    fraud.ok("runs/delete", run_id=run)
    models = [{"model_id": model_id, "step": 0}]
    response = fraud.post("runs/outputs", run_id=run, models=models)
    assert error(response)[0] == 400


# Files


def root_of(model: dict) -> str:
    below = model["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    return f"{ARTIFACTS}/{below}"


def put(tracking: Tracking, model: dict, path: str, body: bytes = b"tree"):
    return tracking.client.put(f"{root_of(model)}/{path}", data=body)


def test_files_of_a_model_are_a_package_of_their_own(fraud, cast):
    model = create(fraud)
    assert put(fraud, model, "MLmodel", b"flavors").status_code == 200
    assert put(fraud, model, "data/model.bin", b"12345").status_code == 200
    package = Package._base_manager.get()
    assert package.name == f"ml_model_{id_of(model).removeprefix('m-')}"
    assert (package.version, package.type) == ("-", "model")
    assert package.project_id == cast.fraud.pk
    response = fraud.client.get(f"{root_of(model)}/data/model.bin")
    assert b"".join(response.streaming_content) == b"12345"
    address = f"/ajax-api/2.0/mlflow/logged-models/{id_of(model)}/artifacts/files"
    response = fraud.client.get(address, {"artifact_file_path": "MLmodel"})
    assert b"".join(response.streaming_content) == b"flavors"
    assert error(fraud.client.get(address)) == missing("artifact_file_path")


def test_folders_of_a_model_are_listed_in_both_ways(fraud):
    model = create(fraud)
    for path in ("MLmodel", "data/model.bin"):
        put(fraud, model, path)
    path = f"logged-models/{id_of(model)}/artifacts/directories"
    uri = model["info"]["artifact_uri"]
    inside = {"path": "data/model.bin", "is_dir": False, "file_size": 4}
    assert fraud.read(path) == {
        "root_uri": uri,
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": 4},
            {"path": "data", "is_dir": True},
        ],
    }
    listed = fraud.read(path, artifact_directory_path="data")
    assert listed == {"root_uri": uri, "files": [inside]}
    assert fraud.read(path, artifact_directory_path="MLmodel") == {"root_uri": uri}
    below = uri.removeprefix("mlflow-artifacts:/")
    response = fraud.client.get(ARTIFACTS, {"path": f"{below}/data"})
    assert read(response) == {"files": [{**inside, "path": "model.bin"}]}
    assert read(fraud.client.get(ARTIFACTS, {"path": f"{below}/nothing"})) == {}


def test_files_of_a_model_are_removed(fraud):
    model = create(fraud)
    for path in ("MLmodel", "data/model.bin"):
        put(fraud, model, path)
    assert read(fraud.client.delete(f"{root_of(model)}/data")) == {}
    path = f"logged-models/{id_of(model)}/artifacts/directories"
    assert [file["path"] for file in fraud.read(path)["files"]] == ["MLmodel"]


def test_a_model_s_files_lie_below_its_own_experiment_only(fraud):
    model = create(fraud)
    put(fraud, model, "MLmodel")
    other = fraud.experiment("other")
    wrong = root_of(model).replace("/0/models/", f"/{other}/models/")
    expected = absent(f"Logged model with ID '{id_of(model)}' not found.")
    assert error(fraud.client.get(f"{wrong}/MLmodel")) == expected
    assert error(fraud.client.put(f"{wrong}/a", data=b"a")) == expected


@pytest.mark.parametrize(
    "path",
    [
        "0/models/m-1/artifacts/a",
        f"0/models/{'0' * 32}/artifacts/a",
        f"0/models/m-{'0' * 32}/a",
        f"0/models/m-{'0' * 32}/artifacts/../../x",
        f"0/models/../models/m-{'0' * 32}/artifacts/a",
        f"models/m-{'0' * 32}/artifacts/a",
    ],
)
def test_a_path_of_another_form_leads_nowhere(fraud, path):
    response = fraud.client.put(f"{ARTIFACTS}/{path}", data=b"a")
    assert error(response) == invalid("Invalid path")


def test_a_deleted_model_s_files_are_not_found(fraud):
    model = create(fraud)
    put(fraud, model, "MLmodel")
    read(send(fraud, "DELETE", f"logged-models/{id_of(model)}"))
    expected = absent(f"Logged model with ID '{id_of(model)}' not found.")
    assert error(fraud.client.get(f"{root_of(model)}/MLmodel")) == expected
    assert error(put(fraud, model, "other")) == expected
    assert error(fraud.client.delete(f"{root_of(model)}/MLmodel")) == expected


def test_a_run_and_a_model_share_no_file(fraud):
    run, model = fraud.run(), create(fraud)
    put(fraud, model, "a", b"of the model")
    fraud.client.put(f"{ARTIFACTS}/0/{run}/artifacts/a", data=b"of the run")
    response = fraud.client.get(f"{root_of(model)}/a")
    assert b"".join(response.streaming_content) == b"of the model"
    assert Package._base_manager.count() == 2


# Others


def nothing_told(theirs, nobodys, model_id: str) -> bool:
    said = theirs.content.replace(model_id.encode(), UNKNOWN.encode())
    return (theirs.status_code, said) == (nobodys.status_code, nobodys.content)


def test_another_tenant_s_model_is_as_absent_as_one_that_never_was(
    fraud, churn, stranger_in_fraud
):
    model = create(fraud, params=pairs({"a": "1"}))
    put(fraud, model, "MLmodel")
    model_id, root = id_of(model), root_of(model)
    for stranger in (churn, stranger_in_fraud):
        for path in ("artifacts/directories", "tags/a", "params", "tags", ""):
            for method in ("GET", "POST", "PATCH", "DELETE"):
                theirs, nobodys = (
                    send(stranger, method, f"logged-models/{key}/{path}".rstrip("/"))
                    for key in (model_id, UNKNOWN)
                )
                assert nothing_told(theirs, nobodys, model_id), (method, path)
        file = "/ajax-api/2.0/mlflow/logged-models/{}/artifacts/files"
        query = {"artifact_file_path": "MLmodel"}
        below = root.replace(model_id, "{}") + "/MLmodel"
        for method, address, given in (
            (stranger.client.get, file, query),
            (stranger.client.get, below, {}),
            (stranger.client.put, below, b"mine"),
            (stranger.client.delete, below, b""),
        ):
            theirs, nobodys = (
                method(address.format(key), given) for key in (model_id, UNKNOWN)
            )
            assert theirs.status_code == 404
            assert nothing_told(theirs, nobodys, model_id), address
    assert get(fraud, model_id)["data"]["params"] == pairs({"a": "1"})


def test_a_reader_writes_nothing(fraud, reader):
    model = create(fraud)
    model_id = id_of(model)
    assert get(reader, model_id) == model
    assert search(reader) == ["forest"]
    for response in (
        reader.post("logged-models", experiment_id="0"),
        reader.post(f"logged-models/{model_id}/params", params=[]),
        reader.post("runs/outputs", run_id=fraud.run(), models=[]),
        send(reader, "PATCH", f"logged-models/{model_id}", status=2),
        send(reader, "PATCH", f"logged-models/{model_id}/tags", tags=[]),
        send(reader, "DELETE", f"logged-models/{model_id}/tags/a"),
        send(reader, "DELETE", f"logged-models/{model_id}"),
        reader.client.put(f"{root_of(model)}/a", data=b"a"),
    ):
        assert error(response)[:2] == (403, "PERMISSION_DENIED")


def test_the_database_refuses_a_model_of_another_organization(cast):
    run = RunFactory(experiment__project=cast.fraud)
    foreign = LoggedModelFactory(experiment__project=cast.umbrella_fraud)
    common = {"organization": cast.acme, "logged_model": foreign}
    for wrong in (
        LoggedModelParam(**common, key="a", value="1"),
        RunModel(**common, run=run, role="output"),
        LoggedModel(
            organization=cast.umbrella,
            project=cast.umbrella_fraud,
            experiment=foreign.experiment,
            name="a",
            source_run=run,
        ),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            wrong.save(force_insert=True)

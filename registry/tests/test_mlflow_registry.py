"""Registering over MLflow's protocol: names, versions, aliases, and their sources."""

from __future__ import annotations

import orjson
import pytest

from registry.models import ModelVersion
from registry.tests.protocol import PREFIX, absent, error, invalid, missing, read

ROOT = "mlflow-artifacts:/0"


@pytest.fixture
def run(fraud):
    return fraud.run()


@pytest.fixture
def model_id(fraud, run):
    body = {"experiment_id": "0", "name": "forest", "source_run_id": run}
    return fraud.ok("logged-models", **body)["model"]["info"]["model_id"]


@pytest.fixture
def name(fraud):
    return fraud.ok("registered-models/create", name="scorer")["registered_model"][
        "name"
    ]


def register(tracking, source: str, **more):
    body = {"name": "scorer", "source": source, **more}
    return tracking.post("model-versions/create", **body)


def test_a_registered_model_answers_as_mlflow_does(fraud):
    tags = [{"key": "team", "value": "risk"}]
    body = {"name": "scorer", "description": "What it does", "tags": tags}
    made = fraud.ok("registered-models/create", **body)["registered_model"]
    assert made == {
        "name": "scorer",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["last_updated_timestamp"],
        "description": "What it does",
        "tags": tags,
    }
    found = fraud.read("registered-models/get", name="scorer")
    assert found == {"registered_model": made}
    response = fraud.post("registered-models/create", name="scorer")
    assert error(response) == (
        400,
        "RESOURCE_ALREADY_EXISTS",
        "Registered Model (name=scorer) already exists.",
    )


def test_a_version_comes_from_a_logged_model(fraud, run, model_id, name):
    uri = f"{ROOT}/models/{model_id}/artifacts"
    fraud.client.put(
        f"/api/2.0/mlflow-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:/')}"
        "/MLmodel",
        data=b"flavors",
    )
    response = register(fraud, f"models:/{model_id}", model_id=model_id)
    version = read(response)["model_version"]
    assert version == {
        "name": "scorer",
        "version": "1",
        "creation_timestamp": version["creation_timestamp"],
        "last_updated_timestamp": version["last_updated_timestamp"],
        "current_stage": "None",
        "description": "",
        "source": f"models:/{model_id}",
        "run_id": run,
        "run_link": "",
        "status": "READY",
        "status_message": "",
        "model_id": model_id,
    }
    found = fraud.read("model-versions/get", name="scorer", version="1")
    assert found == {"model_version": version}
    answer = fraud.read("model-versions/get-download-uri", name="scorer", version=1)
    assert answer == {"artifact_uri": uri}
    row = ModelVersion._base_manager.select_related("package").get()
    assert row.logged_model_id == row.logged_model.pk
    assert row.package.name == f"ml_model_{model_id.removeprefix('m-')}"


@pytest.mark.parametrize(
    "source,location",
    [
        ("runs:/{run}/model", ROOT + "/{run}/artifacts/model"),
        ("runs:/{run}", ROOT + "/{run}/artifacts"),
        (ROOT + "/{run}/artifacts/a b/c", ROOT + "/{run}/artifacts/a b/c"),
        (ROOT + "/{run}/artifacts", ROOT + "/{run}/artifacts"),
    ],
)
def test_a_version_comes_from_a_run(fraud, run, name, source, location):
    source, location = source.format(run=run), location.format(run=run)
    assert (
        read(register(fraud, source, run_id=run))["model_version"]["source"] == source
    )
    answer = fraud.read("model-versions/get-download-uri", name="scorer", version="1")
    assert answer == {"artifact_uri": location}


ELSEWHERE = [
    "models:/{model}",
    "models:/{model}/sub",
    "models:/scorer/1",
    "models://host/{model}",
    "runs:/{other}/model",
    "runs:/{run}/../x",
    "runs:/{run}/%2e%2e/x",
    "runs:/{run}//x",
    "runs://host/{run}/model",
    ROOT + "/{other}/artifacts",
    ROOT + "/{run}/artifactsX",
    ROOT + "/{run}/artifacts/../x",
    ROOT + "/{run}/artifacts/%252e%252e/x",
    ROOT + "/{run}",
    "mlflow-artifacts://host/0/{run}/artifacts",
    "mlflow-artifacts://u:p@host:0/0/{run}/artifacts",
    "file:///etc",
    "FILE:///etc",
    " file:///etc",
    "/etc/passwd",
    "./x",
    "http://169.254.169.254/",
    "s3://other-bucket/x",
    "gopher://x",
    "{run}",
]


@pytest.mark.parametrize("address", ELSEWHERE)
@pytest.mark.parametrize("prompt", [False, True])
def test_a_source_elsewhere_is_refused(fraud, run, model_id, name, address, prompt):
    """Whatever the tags say: a prompt's source is looked at like any other."""
    source = address.format(run=run, other=fraud.run(), model=model_id)
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}] if prompt else []
    response = register(fraud, source, run_id=run, tags=tags)
    status, code, message = error(response)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert message.startswith(f"Invalid model version source: '{source}'")
    assert not ModelVersion._base_manager.exists()


def test_a_source_of_another_tenant_is_not_found(fraud, stranger_in_fraud, name):
    run = stranger_in_fraud.run()
    model = stranger_in_fraud.ok("logged-models", experiment_id="0")["model"]
    model_id = model["info"]["model_id"]
    response = register(fraud, f"runs:/{run}/model", run_id=run)
    assert error(response) == absent(f"Run with id={run} not found")
    response = register(fraud, f"models:/{model_id}", model_id=model_id)
    assert error(response) == absent(f"Logged model with ID '{model_id}' not found.")


def test_what_is_not_there_is_not_found(fraud, stranger_in_fraud, name):
    stranger_in_fraud.ok("registered-models/create", name="theirs")
    for unknown in ("never", "theirs"):
        expected = absent(f"Registered Model with name={unknown} not found")
        assert error(fraud.get("registered-models/get", name=unknown)) == expected
        response = fraud.get("model-versions/get", name=unknown, version="1")
        assert error(response) == expected
    response = fraud.get("model-versions/get-download-uri", name="scorer", version="7")
    assert error(response) == absent("Model Version (name=scorer, version=7) not found")
    response = fraud.get("model-versions/get", name="scorer", version="x")
    message = "Parameter 'version' must be an integer, got 'x'."
    assert error(response) == invalid(message)
    assert error(fraud.get("registered-models/get")) == missing("name")


def test_an_alias_moves_and_goes(fraud, run, name):
    for _ in range(2):
        read(register(fraud, f"runs:/{run}/model", run_id=run))
    alias = {"name": "scorer", "alias": "champion"}
    for version in ("1", 2):
        assert fraud.ok("registered-models/alias", **alias, version=version) == {}
        found = fraud.read("registered-models/alias", **alias)["model_version"]
        assert (found["version"], found["aliases"]) == (str(version), ["champion"])
    model = fraud.read("registered-models/get", name="scorer")["registered_model"]
    assert model["aliases"] == [{"alias": "champion", "version": "2"}]
    assert [each["version"] for each in model["latest_versions"]] == ["2"]
    response = fraud.client.delete(
        f"{PREFIX}registered-models/alias",
        data=orjson.dumps(alias),
        content_type="application/json",
    )
    assert read(response) == {}
    response = fraud.get("registered-models/alias", **alias)
    assert error(response) == invalid("Registered model alias champion not found.")


def test_a_reader_registers_nothing(fraud, reader, run, name):
    assert reader.read("registered-models/get", name="scorer")
    for response in (
        reader.post("registered-models/create", name="mine"),
        register(reader, f"runs:/{run}/model", run_id=run),
        reader.post("registered-models/alias", name="scorer", alias="a", version="1"),
    ):
        assert error(response)[:2] == (403, "PERMISSION_DENIED")

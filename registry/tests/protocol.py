"""MLflow's protocol for tests: a client of one project that speaks as `mlflow` does."""

from __future__ import annotations

import json
from typing import Any

import orjson

from conftest import WebClient, client_of
from registry.models import Run
from tenants.tests.factories import make_api_token

PREFIX = "/api/2.0/mlflow/"


class Tracking:
    """Sends what the mlflow client sends; `ok` reads the answer of a success."""

    def __init__(self, client: WebClient, prefix: str = PREFIX) -> None:
        self.client = client
        self.prefix = prefix

    def post(self, path: str, **body: Any) -> Any:
        return self.send(path, json.dumps(body, allow_nan=False).encode())

    def send(self, path: str, body: bytes, **headers: Any) -> Any:
        kind = headers.pop("content_type", "application/json")
        address = self.prefix + path
        return self.client.post(address, data=body, content_type=kind, **headers)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(self.prefix + path, query)

    def ok(self, path: str, **body: Any) -> Any:
        return read(self.post(path, **body))

    def read(self, path: str, **query: Any) -> Any:
        return read(self.get(path, **query))

    # What most tests begin with

    def experiment(self, name: str = "trees", **more: Any) -> str:
        return self.ok("experiments/create", name=name, **more)["experiment_id"]

    def run(self, experiment_id: str = "0", **more: Any) -> str:
        run = self.ok("runs/create", experiment_id=experiment_id, **more)["run"]
        return run["info"]["run_id"]

    def run_of(self, run_id: str) -> dict[str, Any]:
        return self.read("runs/get", run_id=run_id)["run"]

    def history(self, run_id: str, key: str, **more: Any) -> list[tuple]:
        answer = self.read("metrics/get-history", run_id=run_id, metric_key=key, **more)
        return [points(metric) for metric in answer.get("metrics", [])]


def points(metric: dict[str, Any]) -> tuple:
    return metric["timestamp"], metric["step"], metric["value"]


def read(response: Any) -> Any:
    """MLflow's client takes nothing but 200 for a success."""
    assert response.status_code == 200, response.content
    assert response.headers["Content-Type"] == "application/json"
    return orjson.loads(response.content)


def error(response: Any) -> tuple[int, str, str]:
    """Return status, error_code and message, of an error that is MLflow's in form."""
    body = orjson.loads(response.content)
    assert set(body) == {"error_code", "message"}
    return response.status_code, body["error_code"], body["message"]


def invalid(message: str) -> tuple[int, str, str]:
    return 400, "INVALID_PARAMETER_VALUE", message


def absent(message: str) -> tuple[int, str, str]:
    return 404, "RESOURCE_DOES_NOT_EXIST", message


def missing(name: str) -> tuple[int, str, str]:
    return invalid(
        f"Missing value for required parameter '{name}'. "
        "See the API docs for more information about request parameters."
    )


def mistyped(value: str, name: str, kind: str) -> tuple[int, str, str]:
    return invalid(
        f"Invalid value {value} for parameter '{name}' supplied:  Hint: Value was of "
        f"type '{kind}'. See the API docs for more information about request "
        "parameters."
    )


def statements(response: Any) -> int:
    return int(response.headers["X-Query-Count"])


def tracking_as(user: Any, *projects: Any, **token: Any) -> Tracking:
    """Speak with a token of the user that is bound to the projects."""
    made = make_api_token(user, projects[0].organization, *projects, **token)
    return Tracking(client_of(made.text))


def stored_run(run_id: str) -> Run:
    """Read the row past every lock, as the tests' superuser."""
    return Run._base_manager.get(pk=run_id)


def data_of(run: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return metrics, params or tags by key."""
    return {each["key"]: each["value"] for each in run["data"].get(kind, [])}

"""Where a body may be sent: every endpoint of MLflow's, every writing route of REST."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from registry.mlflow import urls
from registry.mlflow.endpoint import ENDPOINTS
from tenants.api.openapi import description
from tenants.context import Actor
from tests.fuzz.world import World, models_by_path

PLACE = {"organization": "acme", "project": "fraud"}
# A search finds something without any members, and no params are params, too; what
# MLflow's pages report of themselves is not even looked at.
TAKES_NOTHING = {
    "runs/search",
    "datasets/search",
    "datasets/<dataset_id>/add-experiments",
    "datasets/<dataset_id>/remove-experiments",
    "logged-models/<model_id>/params",
    "ui-telemetry",
    "gateway-proxy",
}


@dataclass(frozen=True)
class Writer:
    """One method of one route that reads a body."""

    method: str
    path: str
    limit: int = 2 * 1024**2
    takes_nothing: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


NOBODYS_MODEL = "m-" + "0" * 32


def endpoints(model_id: str = NOBODYS_MODEL) -> list[Writer]:
    """Return each path behind a mount's prefix, about the logged model.

    Those of an organization take no token of a project; they are asked by themselves.
    """
    assert urls.REGISTERED  # importing the routes fills the list
    return [
        Writer(
            "POST",
            each.path.replace("<model_id>", model_id),
            each.body_limit,
            takes_nothing=each.path in TAKES_NOTHING,
        )
        for each in ENDPOINTS
        if each.method == "POST" and each.context is not Actor
    ]


def rest_writers(world: World) -> Iterator[Writer]:
    """Yield each route of REST that the description says reads a JSON body."""
    models = models_by_path()
    for path, methods in description()["paths"].items():
        for method, operation in methods.items():
            if "application/json" in operation.get("requestBody", {}).get(
                "content", {}
            ):
                key = world.own.get(models.get(path, type(None)), "")
                yield Writer(method.upper(), filled(path, key))


def filled(path: str, key: str) -> str:
    for name, value in PLACE.items():
        path = path.replace(f"{{{name}}}", value)
    before, brace, after = path.partition("{")
    return before + key + after.partition("}")[2] if brace else path


def sent(client: Any, writer: Writer, body: bytes, **more: Any) -> Any:
    kind = more.pop("content_type", "application/json")
    return client.generic(writer.method, writer.path, body, kind, **more)

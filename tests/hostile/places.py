"""Where a body may be sent: every endpoint of MLflow's, every writing route of REST."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from registry.mlflow.endpoint import ENDPOINTS
from tenants.api.openapi import description
from tests.fuzz.world import World, models_by_path

PLACE = {"organization": "acme", "project": "fraud"}
# It finds something in a body without members, too.
TAKES_NOTHING = {"runs/search", "experiments/search"}


@dataclass(frozen=True)
class Writer:
    """One method of one route that reads a body."""

    method: str
    path: str
    limit: int = 2 * 1024**2

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def endpoints() -> list[Writer]:
    """Return each path behind a mount's prefix."""
    return [
        Writer("POST", each.path, each.body_limit)
        for each in ENDPOINTS
        if each.method == "POST"
    ]


def rest_writers(world: World) -> Iterator[Writer]:
    """Yield each route of REST that the description says reads a body."""
    models = models_by_path()
    for path, methods in description()["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation:
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

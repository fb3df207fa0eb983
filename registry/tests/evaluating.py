"""Evaluation datasets for tests: what MLflow's client sends, and what it reads."""

from __future__ import annotations

import json
from typing import Any

from registry.models import EvaluationDataset
from registry.tests.protocol import Tracking, read

# MLflow has these endpoints below 3.0 alone.
PREFIX = "/api/3.0/mlflow/"
UNKNOWN = f"d-{'0' * 32}"


def send(tracking: Tracking, method: str, path: str, **body: Any) -> Any:
    return tracking.client.generic(
        method,
        tracking.prefix + path,
        data=b"" if not body and method == "DELETE" else json.dumps(body).encode(),
        content_type="application/json",
    )


def create(tracking: Tracking, name: str = "questions", **more: Any) -> dict[str, Any]:
    if "tags" in more:
        more["tags"] = json.dumps(more["tags"])
    return tracking.ok("datasets/create", name=name, **more)["dataset"]


def created(tracking: Tracking, name: str = "questions", **more: Any) -> str:
    return create(tracking, name, **more)["dataset_id"]


def get(tracking: Tracking, dataset_id: str) -> dict[str, Any]:
    return tracking.read(f"datasets/{dataset_id}")["dataset"]


def tags_of(dataset: dict[str, Any]) -> dict[str, str]:
    return json.loads(dataset["tags"])


def upsert(tracking: Tracking, dataset_id: str, records: Any) -> Any:
    """Send records as Python's own writer of JSON puts them into a text."""
    text = records if isinstance(records, str) else json.dumps(records)
    return tracking.post(f"datasets/{dataset_id}/records", records=text)


def counts(response: Any) -> tuple[int, int]:
    answer = read(response)
    return answer["inserted_count"], answer["updated_count"]


def records(tracking: Tracking, dataset_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = tracking.read(f"datasets/{dataset_id}/records", **query)
    return json.loads(answer["records"])


def experiments(tracking: Tracking, dataset_id: str) -> list[str]:
    answer = tracking.read(f"datasets/{dataset_id}/experiment-ids")
    return answer.get("experiment_ids", [])


def search(tracking: Tracking, **asked: Any) -> list[str]:
    found = tracking.ok("datasets/search", **asked).get("datasets", [])
    return [dataset["name"] for dataset in found]


def row(dataset_id: str) -> EvaluationDataset:
    """Read the row past every lock, as the tests' superuser."""
    return EvaluationDataset._base_manager.get(pk=dataset_id.removeprefix("d-"))

"""MLflow's field names of registered models and their versions, as they leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlops.db.uuid7 import milliseconds
from registry.mlflow import rules
from registry.mlflow.rules import MAX_KEY, check_length
from registry.mlflow.wire import pairs
from registry.models import ModelVersion, RegisteredModel

MAX_TAG = 100_000


def registry_tags(items: list[Any]) -> dict[str, str]:
    found = {}
    for path, key, value in pairs(items, "tags"):
        check_length(key, MAX_KEY, f"{path}.key")
        check_length(value, MAX_TAG, f"{path}.value")
        found[key] = value
    return found


def registered_model(
    row: RegisteredModel, latest: Iterable[ModelVersion]
) -> dict[str, Any]:
    """Write a model; tags, and aliases with their versions, should be prefetched."""
    more = {
        "description": row.description,
        "latest_versions": [model_version(row.name, version) for version in latest],
        "tags": _tags(row.tags.all()),
        "aliases": [
            {"alias": alias.name, "version": str(alias.model_version.version)}
            for alias in row.aliases.all()
        ],
    }
    return {
        "name": row.name,
        "creation_timestamp": milliseconds(row.created_at),
        "last_updated_timestamp": milliseconds(row.updated_at),
        **{field: value for field, value in more.items() if value},
    }


def model_version(name: str, row: ModelVersion) -> dict[str, Any]:
    """Write a version of the model `name`; tags and aliases should be prefetched."""
    lists = {
        "tags": _tags(row.tags.all()),
        "aliases": [alias.name for alias in row.aliases.all()],
    }
    if row.logged_model_id:
        lists["model_id"] = f"m-{row.logged_model_id.hex}"
    return {
        "name": name,
        "version": str(row.version),
        "creation_timestamp": milliseconds(row.created_at),
        "last_updated_timestamp": milliseconds(row.updated_at),
        "current_stage": row.stage,
        "description": row.description,
        "source": row.source,
        "run_id": row.run_id.hex if row.run_id else "",
        "run_link": row.run_link,
        "status": row.status,
        "status_message": row.status_message,
        **{field: value for field, value in lists.items() if value},
    }


def _tags(rows: Iterable[Any]) -> list[dict[str, str]]:
    return [{"key": row.key, "value": row.value} for row in rows]


def check_description(text: str) -> None:
    check_length(text, rules.MAX_DESCRIPTION, "description")

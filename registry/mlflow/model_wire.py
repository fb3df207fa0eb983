"""MLflow's field names of logged models, as they come in and as they leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from mlops.db.uuid7 import milliseconds
from mlops.errors import InvalidInput
from registry.mlflow import rules
from registry.mlflow.rules import MAX_KEY, check_length
from registry.mlflow.schema import invalid, missing, mistyped, read_integer
from registry.mlflow.wire import pairs
from registry.models import LoggedModel, LoggedModelMetric, LoggedModelStatus
from registry.refusals import shown
from registry.sql.model_metrics import ModelPoint

MAX_PAIRS = 1000
MAX_USES = 1000
MAX_MODEL_TAG = 100_000
# Of a model that is asked for: its newest ones.
MAX_MODEL_METRICS = 1000
MAX_DATASET_NAME, MAX_DIGEST = 500, 36
STATUSES = {
    "LOGGED_MODEL_PENDING": LoggedModelStatus.PENDING,
    "LOGGED_MODEL_READY": LoggedModelStatus.READY,
    "LOGGED_MODEL_UPLOAD_FAILED": LoggedModelStatus.FAILED,
}
WORDS = {status: word for word, status in STATUSES.items()}
NUMBERED = {
    str(number): status for number, status in enumerate(STATUSES.values(), start=1)
}
LARGEST = 1.7976931348623157e308


# As it comes in


def model_params(items: Sequence[Any]) -> dict[str, str]:
    """Read params; a value that is too long is cut, like one of a run."""
    found: dict[str, str] = {}
    for path, key, value in few_pairs(items, "params"):
        rules.check_name(key, f"{path}.key")
        check_length(key, MAX_KEY, f"{path}.key")
        if key in found and found[key] != value:
            raise InvalidInput(
                f"Duplicate parameter keys have been submitted: ['{shown(key)}']. "
                "Please ensure the request contains only one param value per param key."
            )
        found[key] = value[: rules.MAX_PARAM]
    return found


def model_tags(items: Sequence[Any]) -> dict[str, str]:
    found = {}
    for path, key, value in few_pairs(items, "tags"):
        check_length(key, MAX_KEY, f"{path}.key")
        check_length(value, MAX_MODEL_TAG, f"{path}.value")
        found[key] = value
    return found


def few_pairs(items: Sequence[Any], noun: str) -> list[tuple[str, str, str]]:
    if len(items) > MAX_PAIRS:
        raise InvalidInput(
            f"'{noun}' holds {len(items)} {noun}; send at most {MAX_PAIRS} at once."
        )
    return list(pairs(items, noun))


def logged_model_status(value: object) -> LoggedModelStatus:
    """Read a state by its word or its number."""
    found = STATUSES.get(str(value)) or NUMBERED.get(str(value))
    if found is None or type(value) not in (str, int):
        raise invalid("status", value, f"It must be one of {', '.join(STATUSES)}.")
    return found


def model_uses(items: Sequence[Any]) -> list[tuple[str, int]]:
    """Read (model id, step) of each; inputs have no step."""
    if len(items) > MAX_USES:
        raise InvalidInput(
            f"'models' names {len(items)} models; log at most {MAX_USES} at once."
        )
    return [_model_use(item, f"models[{index}]") for index, item in enumerate(items)]


def _model_use(item: Any, path: str) -> tuple[str, int]:
    if type(item) is not dict:
        raise mistyped(path, item)
    model_id, step = item.get("model_id"), item.get("step", 0)
    if model_id in (None, ""):
        raise missing(f"{path}.model_id")
    if type(model_id) is not str:
        raise mistyped(f"{path}.model_id", model_id)
    try:
        return model_id, read_integer(step or 0)
    except ValueError:
        raise mistyped(f"{path}.step", step) from None


def model_points(metrics: Sequence[dict[str, Any]]) -> list[ModelPoint]:
    """Pick out what names a model; the points themselves are checked already."""
    return [
        ModelPoint(
            place,
            _text(metric, "model_id", rules.MAX_NAME, place),
            _text(metric, "dataset_name", MAX_DATASET_NAME, place),
            _text(metric, "dataset_digest", MAX_DIGEST, place),
        )
        for place, metric in enumerate(metrics)
        if metric.get("model_id")
    ]


def _text(metric: dict[str, Any], field: str, limit: int, place: int) -> str:
    text = metric.get(field) or ""
    if type(text) is not str:
        raise mistyped(f"metrics[{place}].{field}", text)
    check_length(text, limit, f"metrics[{place}].{field}")
    return text


# As it leaves


def logged_model(row: LoggedModel) -> dict[str, Any]:
    """Write a model; experiment, params, tags and metrics should be prefetched."""
    info: dict[str, Any] = {
        "model_id": row.model_id,
        "experiment_id": str(row.experiment.iid),
        "name": row.name,
        "creation_timestamp_ms": milliseconds(row.created_at),
        "last_updated_timestamp_ms": milliseconds(row.updated_at),
        "artifact_uri": row.artifact_uri,
        "status": WORDS[LoggedModelStatus(row.status)],
        "model_type": row.model_type,
        "source_run_id": (
            row.source_run_id.hex if row.source_run_id else row.source_run_text
        ),
    }
    more = {
        "status_message": row.status_message,
        "tags": [{"key": tag.key, "value": tag.value} for tag in row.tags.all()],
    }
    parts = {
        "params": [{"key": each.key, "value": each.value} for each in row.params.all()],
        # Newest first as read; MLflow's order is that of logging.
        "metrics": [_metric(row, each) for each in reversed(row.newest_metrics)],
    }
    return {"info": info | _given(more), "data": _given(parts)}


def _metric(model: LoggedModel, row: LoggedModelMetric) -> dict[str, Any]:
    more = {"dataset_name": row.dataset_name, "dataset_digest": row.dataset_digest}
    return {
        "key": row.name,
        "value": _number(row.value),
        "timestamp": row.timestamp_ms,
        "step": row.step,
        "model_id": model.model_id,
        "run_id": row.run_id.hex,
    } | _given(more)


def _number(value: float) -> float | str:
    """Write what JSON has no number for as MLflow does."""
    return "NaN" if value != value else max(-LARGEST, min(value, LARGEST))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty, as proto JSON does."""
    return {name: value for name, value in fields.items() if value}


def listed_files(root: str, files: bytes) -> bytes:
    listed = b',"files":[%b]' % files if files else b""
    return b'{"root_uri":%b%b}' % (orjson.dumps(root), listed)

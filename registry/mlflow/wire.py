"""MLflow's field names: what comes in is read here, what goes out is written here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlops.api.parsing import parse_json
from mlops.db.uuid7 import milliseconds
from mlops.errors import InvalidInput
from registry.mlflow import rules
from registry.mlflow.rules import MAX_KEY, check_length, check_name
from registry.mlflow.schema import (
    INT64,
    invalid,
    missing,
    mistyped,
    read_integer,
    read_number,
)
from registry.models import Experiment
from registry.refusals import shown
from registry.services.inputs import DatasetUse
from registry.services.runs import NAME_TAG
from registry.sql.batch import Point

LATEST_MS = INT64[-1]
MAX_DIGEST, MAX_SOURCE_TYPE, MAX_SOURCE = 36, 36, 65_535
MAX_SCHEMA, MAX_PROFILE = 1_048_575, 16_777_215
MAX_INPUT_TAG_KEY, MAX_INPUT_TAG, MAX_DATASETS = 255, 500, 1000
REQUIRED = {
    "metrics": ("key", "value", "timestamp"),
    "params": ("key",),
    "tags": ("key",),
}
# What a model says of itself to the tag of its run.
MODEL_FIELDS = ("run_id", "artifact_path", "utc_time_created", "model_uuid")
MODEL_NEEDS = {"artifact_path", "flavors", "utc_time_created", "run_id"}


# Metrics


def point(name: str, value: float, timestamp: int, step: int, path: str = "") -> Point:
    """Check a point whose types are right already; `path` ends in a dot or is empty."""
    check_name(name, f"{path}name")
    if timestamp < 0:
        raise _bad_timestamp(name, value, timestamp, path)
    check_length(name, MAX_KEY, "Metric name")
    return name, timestamp, step, value


def points(metrics: Sequence[Any]) -> list[Point]:
    """Read a batch; a name is checked once, and clean points cost one comparison."""
    found: list[Point] = []
    names: set[str] = set()
    for index, metric in enumerate(metrics):
        if type(metric) is not dict:
            raise mistyped(f"metrics[{index}]", metric)
        name, value = metric.get("key"), metric.get("value")
        timestamp, step = metric.get("timestamp"), metric.get("step")
        if (
            type(value) is float
            and type(timestamp) is int
            and type(step) is int
            and 0 <= timestamp <= LATEST_MS
            and 0 <= step <= LATEST_MS
            and type(name) is str
            and name in names
        ):
            found.append((name, timestamp, step, value + 0.0))
        else:
            found.append(_point(metric, f"metrics[{index}]."))
            names.add(found[-1][0])
    return found


def _point(metric: dict[str, Any], path: str) -> Point:
    for field in REQUIRED["metrics"]:
        if metric.get(field) in (None, ""):
            raise missing(f"{path}{field}")
    name, timestamp, step = metric["key"], metric["timestamp"], metric.get("step")
    if type(name) is not str:
        raise mistyped(f"{path}key", name)
    value = _number(metric["value"], timestamp, path)
    try:
        timestamp = read_integer(timestamp)
    except ValueError:
        raise _bad_timestamp(name, value, timestamp, path) from None
    try:
        step = 0 if step is None else read_integer(step)
    except ValueError:
        reason = f"metric '{name}' (value={value}). Step must be a valid long"
        raise invalid(f"{path}step", step, f"{reason} (64-bit integer).") from None
    return point(name, value, timestamp, step, path)


def _number(value: Any, timestamp: Any, path: str) -> float:
    try:
        return read_number(value)
    except ValueError:
        raise invalid(
            f"{path}value",
            value,
            f"(timestamp={shown(timestamp)}). "
            "Please specify value as a valid double (64-bit floating point)",
        ) from None


def _bad_timestamp(name: str, value: float, timestamp: Any, path: str) -> InvalidInput:
    return invalid(
        f"{path}timestamp",
        timestamp,
        f"metric '{shown(name)}' (value={value}). "
        "Timestamp must be a nonnegative long (64-bit integer) ",
    )


def refuse_missing(**lists: Sequence[Any]) -> None:
    """Name the first field that a batch lacks, whatever else is wrong in front of it.

    So does MLflow, which looks for them in all lists before it reads any.
    """
    for noun, items in lists.items():
        for index, item in enumerate(items):
            for field in REQUIRED[noun] if type(item) is dict else ():
                if item.get(field) in (None, ""):
                    raise missing(f"{noun}[{index}].{field}")


# Params and tags: lists of {"key", "value"}


def pairs(items: Sequence[Any], noun: str) -> Iterator[tuple[str, str, str]]:
    """Yield (path, key, value) of each; a value that is left out is empty."""
    for index, item in enumerate(items):
        path = f"{noun}[{index}]"
        if type(item) is not dict:
            raise mistyped(path, item)
        key, value = item.get("key"), item.get("value")
        if key is None or key == "":
            raise missing(f"{path}.key")
        for field, text in (("key", key), ("value", value)):
            if type(text) is not str and text is not None:
                raise mistyped(f"{path}.{field}", text)
        yield path, key, value or ""


def params(items: Sequence[Any]) -> list[tuple[str, str]]:
    return [
        param(key, value, f"{path}.key") for path, key, value in pairs(items, "params")
    ]


def once_each(texts: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Refuse params that are given twice; MLflow looks for them last of all."""
    found: dict[str, str] = {}
    repeated = []
    for name, text in texts:
        if name in found:
            repeated.append(name)
        found[name] = text
    if repeated:
        raise InvalidInput(
            f"Duplicate parameter keys have been submitted: {repeated}. Please ensure "
            "the request contains only one param value per param key."
        )
    return found


def param(key: str, value: str, path: str = "key") -> tuple[str, str]:
    """Check a param; a value that is too long is cut, as MLflow does."""
    check_name(key, path)
    check_length(key, MAX_KEY, "Param key")
    return key, value[: rules.MAX_PARAM]


def run_tags(items: Sequence[Any]) -> dict[str, str]:
    return dict(
        run_tag(key, value, f"{path}.key") for path, key, value in pairs(items, "tags")
    )


def run_tag(key: str, value: str, path: str = "key") -> tuple[str, str]:
    """Check a run's tag; a value that is too long is cut, as MLflow does."""
    check_name(key, path)
    check_length(key, MAX_KEY, path)
    return key, value[: rules.MAX_RUN_TAG]


def new_run_tags(items: Sequence[Any]) -> dict[str, str]:
    """Read the tags of a run to be made: MLflow takes any key there."""
    found = {}
    for path, key, value in pairs(items, "tags"):
        check_length(key, MAX_KEY, f"{path}.key")
        found[key] = value[: rules.MAX_RUN_TAG]
    return found


def experiment_tags(items: Sequence[Any]) -> dict[str, str]:
    return dict(experiment_tag(key, value) for _, key, value in pairs(items, "tags"))


def experiment_tag(key: str, value: str) -> tuple[str, str]:
    check_name(key, "key")
    check_length(key, MAX_KEY, "key")
    check_length(value, rules.MAX_EXPERIMENT_TAG, "value")
    return key, value


def run_name(tags: dict[str, str], name: str = "") -> str:
    """Return the name that a request gives a run, by itself or in the tag."""
    tagged = tags.get(NAME_TAG, "")
    if name and tagged and name != tagged:
        raise InvalidInput(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
            f"different values (run_name='{shown(name)}', "
            f"mlflow.runName='{shown(tagged)}')."
        )
    rules.check_label(name or tagged, "run_name")
    return name or tagged


def tags_and_name(tags: dict[str, str]) -> dict[str, Any]:
    """Let the tag that holds a run's name rename the run; an empty one says nothing."""
    if not tags.get(NAME_TAG):
        tags.pop(NAME_TAG, None)
        return {"tags": tags}
    return {"tags": tags, "run_name": run_name(tags)}


# Datasets and models


def dataset_uses(items: Sequence[Any]) -> list[DatasetUse]:
    if len(items) > MAX_DATASETS:
        raise InvalidInput(
            f"'datasets' holds {len(items)} datasets; log at most {MAX_DATASETS}."
        )
    return [_dataset_use(item, f"datasets[{i}]") for i, item in enumerate(items)]


def _dataset_use(item: Any, path: str) -> DatasetUse:
    dataset = item.get("dataset") if type(item) is dict else item
    if type(dataset) is not dict:
        raise mistyped(path, item) if dataset else missing(f"{path}.dataset")
    for field in ("name", "digest", "source_type", "source"):
        if dataset.get(field) in (None, ""):
            raise missing(f"{path}.dataset.{field}")
    texts = {
        field: _text(dataset, field, limit, f"{path}.dataset.{field}")
        for field, limit in DATASET_FIELDS.items()
    }
    return DatasetUse(**texts, tags=tuple(_input_tags(item.get("tags"), path)))


DATASET_FIELDS = {
    "name": rules.MAX_NAME,
    "digest": MAX_DIGEST,
    "source_type": MAX_SOURCE_TYPE,
    "source": MAX_SOURCE,
    "schema": MAX_SCHEMA,
    "profile": MAX_PROFILE,
}


def _text(dataset: dict[str, Any], field: str, limit: int, path: str) -> str:
    text = dataset.get(field) or ""
    if type(text) is not str:
        raise mistyped(path, text)
    check_length(text, limit, field)
    return text


def _input_tags(items: Any, path: str) -> Iterator[tuple[str, str]]:
    if items is not None and type(items) is not list:
        raise mistyped(f"{path}.tags", items)
    for _, key, value in pairs(items or [], f"{path}.tags"):
        check_length(key, MAX_INPUT_TAG_KEY, "key")
        check_length(value, MAX_INPUT_TAG, "value")
        yield key, value


def model_of_old_clients(text: str) -> dict[str, Any]:
    """Read what a client before 3.0 says of a model that it has logged."""
    try:
        model = parse_json(text.encode())
    except InvalidInput:
        raise InvalidInput(
            f"Malformed model info. \n {shown(text)} \n is not a valid JSON."
        ) from None
    absent = MODEL_NEEDS - set(model if type(model) is dict else ())
    if absent:
        raise InvalidInput(f"Model json is missing mandatory fields: {sorted(absent)}")
    flavors = model["flavors"] if type(model["flavors"]) is dict else {}
    return {field: model.get(field) for field in MODEL_FIELDS} | {
        "flavors": {name: _without_config(each) for name, each in flavors.items()}
    }


def _without_config(flavor: Any) -> Any:
    if type(flavor) is not dict:
        return flavor
    return {name: each for name, each in flavor.items() if name != "config"}


# Experiments, as they leave


def experiment(row: Experiment) -> dict[str, Any]:
    """Write an experiment; its tags should be prefetched."""
    tags = [{"key": tag.key, "value": tag.value} for tag in row.tags.all()]
    written = {
        "experiment_id": str(row.iid),
        "name": row.name,
        "artifact_location": row.artifact_location,
        "lifecycle_stage": "active" if row.deleted_at is None else "deleted",
        "last_update_time": milliseconds(row.updated_at),
        "creation_time": milliseconds(row.created_at),
    }
    return written | {"tags": tags} if tags else written

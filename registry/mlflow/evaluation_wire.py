"""MLflow's field names of evaluation datasets, as they come in and as they leave.

Tags and records are JSON inside of JSON: a text in the request, a text in the answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mlops.api.parsing import levels_of
from mlops.db.uuid7 import milliseconds
from mlops.errors import InvalidInput
from registry.mlflow import rules
from registry.mlflow.rules import check_length
from registry.mlflow.schema import invalid
from registry.models import EvaluationDataset, EvaluationRecord
from registry.models.evaluation_datasets import (
    MAX_DATASET_TAG,
    MAX_PERSON,
    MAX_TAG_KEY,
)
from registry.refusals import shown
from registry.search.lexer import UNSTORABLE
from registry.services.evaluation_records import Example

USER_TAG = "mlflow.user"
MAX_RECORDS = 10_000
SOURCE_TYPES = ["UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE"]
SOURCE_FIELDS = {"source_type", "source_data"}


# As it comes in


def dataset_tags(text: str) -> dict[str, str]:
    """Read tags by key; a value that is no text becomes one, none says nothing."""
    found = read_document(text, "tags") if text else {}
    # MLflow makes a dataset of anything that is false.
    if type(found) is not dict and found:
        raise invalid("tags", found, "It must be a JSON object of texts by key.")
    said = {key: value for key, value in (found or {}).items() if value is not None}
    return dict(dataset_tag(key, value) for key, value in said.items())


def dataset_tag(key: str, value: Any) -> tuple[str, str]:
    text = str(value)
    check_length(key, MAX_TAG_KEY, "tags.key")
    check_length(text, MAX_DATASET_TAG, "tags.value")
    check_storable(key + text, "tags")
    return key, text


def check_storable(text: str, path: str) -> None:
    """Raises InvalidInput for what JSON can write and no text of a database holds."""
    if found := UNSTORABLE.search(text):
        name = f"U+{ord(found[0]):04X}"
        raise InvalidInput(f"'{path}' holds the character {name}; leave it out.")


def user_name(tags: dict[str, Any] | None, path: str = "tags") -> str:
    """Return how the client calls whoever sends it."""
    name = (tags or {}).get(USER_TAG)
    if name is None:
        return ""
    place = f"{path}.{USER_TAG}"
    if isinstance(name, dict | list):
        raise invalid(place, name, "It must be a text.")
    text = str(name)
    rules.check_label(text, place, MAX_PERSON)
    check_storable(text, place)
    return text


def examples(text: str) -> list[Example]:
    """Read records. Raises InvalidInput that names the first one that is none."""
    found = read_document(text, "records")
    if type(found) is not list:
        raise invalid("records", found, "It must be a JSON array of objects.")
    if len(found) > MAX_RECORDS:
        raise InvalidInput(
            f"'records' holds {len(found)} records; send at most {MAX_RECORDS} at once."
        )
    return [example(item, f"records[{n}]") for n, item in enumerate(found)]


def read_document(text: str, name: str) -> Any:
    """Read JSON as Python writes it: NaN and U+0000 are values that clients have."""
    try:
        value = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise InvalidInput(f"'{name}' is not valid JSON: {shown(error)}.") from None
    if type(value) in (dict, list):
        levels_of(value)
    return value


def example(item: Any, path: str) -> Example:
    if type(item) is not dict:
        raise invalid(path, item, "It must be a JSON object.")
    tags = part(item, "tags", path)
    inputs = part(item, "inputs", path) if "inputs" in item else {}
    if inputs is None:
        raise invalid(f"{path}.inputs", None, "It must be a JSON object.")
    return Example(
        inputs=inputs,
        outputs=item.get("outputs"),
        has_outputs="outputs" in item,
        expectations=part(item, "expectations", path),
        tags=tags,
        source=source(item.get("source"), f"{path}.source"),
        user_name=user_name(tags, f"{path}.tags"),
    )


def part(item: dict[str, Any], name: str, path: str) -> dict[str, Any] | None:
    value = item.get(name)
    if value is not None and type(value) is not dict:
        raise invalid(f"{path}.{name}", value, "It must be a JSON object.")
    return value


def source(value: Any, path: str) -> dict[str, Any] | None:
    """Read where a record comes from; a word of MLflow's in any case, and details."""
    if not value:
        return None
    if type(value) is not dict or not value.keys() <= SOURCE_FIELDS:
        reason = "It must be an object with 'source_type' and, maybe, 'source_data'."
        raise invalid(path, value, reason)
    kind, details = value.get("source_type"), part(value, "source_data", path) or {}
    if type(kind) is not str:
        raise invalid(f"{path}.source_type", kind, f"It must be one of {SOURCE_TYPES}.")
    if kind.upper() not in SOURCE_TYPES:
        check_storable(kind, f"{path}.source_type")
        raise InvalidInput(
            f"Invalid dataset record source type: {shown(kind.upper())}. "
            f"Valid source types: {SOURCE_TYPES}"
        )
    found = {"source_type": kind.upper(), "source_data": details}
    if isinstance(source_id(found), dict | list):
        raise invalid(f"{path}.source_data", details, "Its id must be a text.")
    return found


def source_id(source: dict[str, Any]) -> Any:
    is_trace = source["source_type"] == "TRACE"
    return source["source_data"].get("trace_id" if is_trace else "source_id")


# As it leaves


def evaluation_dataset(
    row: EvaluationDataset, experiment_ids: Sequence[str] = ()
) -> dict[str, Any]:
    """Write a dataset; its tags should be prefetched."""
    found: dict[str, Any] = {
        "dataset_id": row.dataset_id,
        "name": row.name,
        "tags": json.dumps({tag.key: tag.value for tag in row.tags.all()}),
        "digest": row.digest,
        "created_time": milliseconds(row.created_at),
        "last_update_time": milliseconds(row.updated_at),
    }
    more = {
        "schema": row.schema,
        "profile": profile(row),
        "created_by": row.creator_name,
        "last_updated_by": row.updater_name,
        "experiment_ids": list(experiment_ids),
    }
    return found | {name: value for name, value in more.items() if value}


def profile(row: EvaluationDataset) -> str:
    """Count the records, as MLflow does: one that has lost them all says "null"."""
    if row.record_count is None:
        return ""
    count = row.record_count
    return json.dumps({"num_records": count} if count else None)


def records(rows: Sequence[EvaluationRecord], dataset_id: str) -> str:
    """Write records; what is stored is JSON already, and is not read for it."""
    return f"[{', '.join(record(row, dataset_id) for row in rows)}]"


def record(row: EvaluationRecord, dataset_id: str) -> str:
    fields = {
        "dataset_record_id": json.dumps(row.record_id),
        "dataset_id": json.dumps(dataset_id),
        "inputs": row.inputs,
        "expectations": row.expectations,
        "tags": row.tags or "{}",
        "source": row.source,
        **about_source(row.source),
        "created_time": str(milliseconds(row.created_at)),
        "last_update_time": str(milliseconds(row.updated_at)),
        "created_by": named(row.creator_name),
        "last_updated_by": named(row.updater_name),
        "outputs": row.outputs,
    }
    members = (f'"{name}": {text}' for name, text in fields.items() if text)
    return f"{{{', '.join(members)}}}"


def about_source(text: str) -> dict[str, str]:
    if not text:
        return {}
    found = json.loads(text)
    key = source_id(found)
    return {
        "source_id": "" if key is None else json.dumps(str(key)),
        "source_type": json.dumps(found["source_type"]),
    }


def named(name: str) -> str:
    return json.dumps(name) if name else ""

"""The schema of an evaluation dataset: which fields its records ever had, by type."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from mlops.errors import LimitExceeded

VERSION = "1.0"
# Each answer about a dataset holds it.
MAX_SCHEMA_BYTES = 64 * 1024
TYPES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "float",
    str: "string",
    list: "array",
    dict: "object",
}


class HasParts(Protocol):
    @property
    def inputs(self) -> dict[str, Any]: ...

    @property
    def outputs(self) -> Any: ...

    @property
    def expectations(self) -> dict[str, Any] | None: ...


def with_fields_of(schema: str, examples: Iterable[HasParts]) -> str:
    """Add the fields of the examples that the schema lacks; the first type stays.

    Outputs that are no object have one type for all; fields come after it no more.
    Raises LimitExceeded when the fields are too many.
    """
    examples = list(examples)
    if not examples:
        return schema
    known: dict[str, Any] = {"inputs": {}, "outputs": {}, "expectations": {}}
    known |= json.loads(schema) if schema else {"version": VERSION}
    for example in examples:
        _add(known["inputs"], example.inputs)
        _add(known["expectations"], example.expectations or {})
        known["outputs"] = _outputs(known["outputs"], example.outputs)
    text = json.dumps(known)
    if len(text) > MAX_SCHEMA_BYTES:
        raise LimitExceeded(
            f"The fields of 'records' would make a schema of {len(text)} bytes; use "
            f"fewer names, so that it has at most {MAX_SCHEMA_BYTES}."
        )
    return text


def _outputs(known: dict[str, str] | str, outputs: Any) -> dict[str, str] | str:
    if type(outputs) is dict and type(known) is dict:
        _add(known, outputs)
    elif outputs is not None and not known:
        return TYPES[type(outputs)]
    return known


def _add(known: dict[str, str], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        known.setdefault(key, TYPES[type(value)])

"""Typed parameters: reading what a client sent, and MLflow's words when it is wrong."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mlops.errors import InvalidInput
from registry.refusals import shown

INT64 = range(-(2**63), 2**63)
# Beyond it a float stands for several integers; orjson reads what is no int64 as one.
EXACT = 2**53
INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NO_NUMBERS = {
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}
SEE = " See the API docs for more information about request parameters."
# Requests of old clients say it this way.
ALIASES = {"run_id": "run_uuid"}


# What MLflow says


def missing(name: str) -> InvalidInput:
    return InvalidInput(f"Missing value for required parameter '{name}'.{SEE}")


def invalid(name: str, value: Any, reason: str = "") -> InvalidInput:
    text = shown(json.dumps(value, sort_keys=True, separators=(",", ":")))
    reason = f": {reason}" if reason else "."
    return InvalidInput(f"Invalid value {text} for parameter '{name}' supplied{reason}")


def mistyped(name: str, value: Any) -> InvalidInput:
    hint = f" Hint: Value was of type '{type(value).__name__}'.{SEE}"
    return invalid(name, value, hint)


# Values, as JSON or as text of the query string; ValueError for what is none


def read_text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value


def read_integer(value: Any) -> int:
    if type(value) is int and value in INT64:
        return value
    if type(value) is float and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    if type(value) is str and INTEGER.fullmatch(value) and int(value) in INT64:
        return int(value)
    raise ValueError


def read_number(value: Any) -> float:
    """Adding zero makes -0.0 the 0.0 that it equals: two of them are one point."""
    if type(value) is float or type(value) is int:
        return value + 0.0
    if type(value) is str:
        if value in NO_NUMBERS:
            return NO_NUMBERS[value]
        if NUMBER.fullmatch(value) and (number := float(value) + 0.0) - number == 0:
            return number
    raise ValueError


def read_flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError


def read_list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError
    return value


def read_texts(value: Any) -> list[str]:
    return [read_text(each) for each in read_list(value)]


def read_anything(value: Any) -> Any:
    """For words and numbers of a closed set, which the endpoint looks up itself."""
    return value


READERS: dict[Any, Callable[[Any], Any]] = {
    object: read_anything,
    str: read_text,
    int: read_integer,
    float: read_number,
    bool: read_flag,
    list: read_list,
    list[str]: read_texts,
}


# Signatures


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    read: Callable[[Any], Any]
    is_required: bool
    is_list: bool

    @classmethod
    def of(cls, parameter: inspect.Parameter, hint: Any) -> Field:
        kind = plain(hint)
        is_list = kind is list or get_origin(kind) is list
        read = READERS[kind] if kind in READERS else READERS[get_origin(kind)]
        is_required = parameter.default is parameter.empty
        return cls(parameter.name, read, is_required, is_list)


def plain(hint: Any) -> Any:
    """Take the None off `int | None`."""
    if isinstance(hint, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    return hint


def bind(fields: tuple[Field, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Read what the signature asks for. Raises InvalidInput in MLflow's words."""
    arguments = {}
    for field in fields:
        value = given.get(field.name)
        if value is None and field.name in ALIASES:
            value = given.get(ALIASES[field.name])
        if value is None or (value == "" and field.is_required):
            if field.is_required:
                raise missing(field.name)
            continue
        try:
            arguments[field.name] = field.read(value)
        except ValueError:
            raise mistyped(field.name, value) from None
    return arguments


def fields_of(function: Callable[..., Any]) -> tuple[Field, ...]:
    """Read the keyword-only parameters of a signature."""
    hints = get_type_hints(function)
    return tuple(
        Field.of(parameter, hints[parameter.name])
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    )


def context_of(function: Callable[..., Any]) -> type | None:
    """Read the type of the positional parameter, if there is one."""
    hints = get_type_hints(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            return hints[parameter.name]
    return None

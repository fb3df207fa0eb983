"""Queries of GraphQL that are right: any fields of the schema, about stored rows."""

from __future__ import annotations

import re
from typing import Any

from graphql import GraphQLObjectType, get_named_type

from registry.mlflow.graphql_schema import SCHEMA
from registry.mlflow.views.graphql import (
    OF_MUTATION,
    OF_QUERY,
    WITH_RUNS,
    endpoint_at,
)
from tests.fuzz.valid import Arguments

LOWER = re.compile(r"_([a-z])")
ROOTS = [
    *(("query", name, place) for name, place in (OF_QUERY | WITH_RUNS).items()),
    *(("mutation", name, place) for name, place in OF_MUTATION.items()),
    ("mutation", "mlflowSearchRuns", WITH_RUNS["mlflowSearchRuns"]),
]


def question(arguments: Arguments) -> dict[str, Any]:
    """Return the body of a request: one root field, and any of the fields below it."""
    kind, name, place = arguments.random.choice(ROOTS)
    root = SCHEMA.query_type if kind == "query" else SCHEMA.mutation_type
    assert root
    field = root.fields[name]
    wanted = get_named_type(field.args["input"].type)
    given = {
        camel(each): value
        for each, value in arguments.of(endpoint_at(*place)).items()
        if camel(each) in wanted.fields
    }
    below = selection(get_named_type(field.type), arguments)
    return {
        "query": f'{kind} Q($data: {wanted.name}) @component(name: "x")'
        f" {{ {name}(input: $data) {below} }}",
        "variables": {"data": given},
        "operationName": arguments.random.choice(("Q", None)),
    }


def selection(kind: Any, arguments: Arguments) -> str:
    """Write about half of the fields of a type, and never none."""
    if not isinstance(kind, GraphQLObjectType):
        return ""
    names = [name for name in kind.fields if arguments.random.random() < 0.5]
    chosen = names or [next(iter(kind.fields))]
    written = (
        f"{name} {selection(get_named_type(kind.fields[name].type), arguments)}"
        for name in chosen
    )
    return f"{{ __typename {' '.join(written)} }}"


def camel(name: str) -> str:
    return LOWER.sub(lambda found: found.group(1).upper(), name)

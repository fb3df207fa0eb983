"""Answering a GraphQL query: within its limits, in MLflow's form.

Whatever is wrong with a query is a text in `errors`, and the status is 200.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    SelectionSetNode,
    execute,
    parse,
    specified_rules,
    validate,
)

from mlops.errors import DomainError
from registry.mlflow.graphql_schema import SCHEMA

MAX_QUERY = 30_000
MAX_TOKENS = 5000
MAX_ROOT_FIELDS, MAX_ALIASES, MAX_DEPTH, MAX_SELECTIONS = 10, 10, 10, 1000
# Fields under one name are compared pair by pair, with all that is below each.
MAX_REPETITIONS = 20
MAX_ERRORS, MAX_ERROR = 20, 1000
# A query of MLflow's pages has some 1,500 characters.
MAX_KEPT = 5000

Fragments = Mapping[str, FragmentDefinitionNode]


def answer(
    query: str,
    *,
    variables: Mapping[str, Any] | None,
    operation: str | None,
    context: Any,
    shows_schema: bool = False,
) -> dict[str, Any]:
    """Return {"data", "errors"}. Raises what a resolver raises, if it is our fault."""
    try:
        read = kept if len(query) <= MAX_KEPT else checked
        document = read(query, shows_schema=shows_schema)
    except QueryRefused as refused:
        return {"data": None, "errors": refused.messages}
    result = execute(
        SCHEMA,
        document,
        context_value=context,
        variable_values=dict(variables or {}),
        operation_name=operation,
        max_coercion_errors=MAX_ERRORS,
    )
    assert isinstance(result, ExecutionResult)
    return {"data": result.data, "errors": errors_of(result) or None}


def errors_of(result: ExecutionResult) -> list[str]:
    for error in result.errors or ():
        original = error.original_error
        if original and not isinstance(original, DomainError | GraphQLError):
            raise original
    return [brief(error) for error in result.errors or ()]


def brief(error: GraphQLError) -> str:
    """Return the message, cut where it would only repeat the query."""
    text = error.message
    return text if len(text) <= MAX_ERROR else f"{text[:MAX_ERROR]}…"


class QueryRefused(Exception):
    """A query that is not even begun."""

    def __init__(self, *errors: GraphQLError) -> None:
        self.messages = [brief(error) for error in errors]


def checked(query: str, *, shows_schema: bool) -> DocumentNode:
    """Parse and validate. Raises QueryRefused, before work that grows with the query.

    Only who `shows_schema` may ask for types and their fields: others know them.
    """
    try:
        refuse_long(query)
        document = parse(query, max_tokens=MAX_TOKENS)
        refuse_large(document)
    except GraphQLError as error:
        raise QueryRefused(error) from None
    hiding = () if shows_schema else (NoSchemaIntrospectionCustomRule,)
    rules = (*specified_rules, *hiding)
    if errors := validate(SCHEMA, document, rules, max_errors=MAX_ERRORS):
        raise QueryRefused(*errors)
    return document


# MLflow's pages send a handful of queries, over and over.
kept = lru_cache(maxsize=64)(checked)


def refuse_long(query: str) -> None:
    if len(query) > MAX_QUERY:
        raise GraphQLError(
            f"The query has {len(query)} characters; send at most {MAX_QUERY}."
        )


def refuse_large(document: DocumentNode) -> None:
    """Raises GraphQLError for more than MLflow lets its own pages ask at once."""
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    level = [
        each.selection_set
        for each in document.definitions
        if isinstance(each, OperationDefinitionNode)
    ]
    depth = selections = repeated = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise GraphQLError(f"Query exceeds maximum depth of {MAX_DEPTH}")
        below = []
        roots = 0
        for selection_set in level:
            fields = list(fields_of(selection_set, fragments))
            roots += len(fields)
            selections += len(fields)
            if selections > MAX_SELECTIONS:
                raise GraphQLError(
                    f"Query exceeds maximum total selections of {MAX_SELECTIONS}"
                )
            refuse_many(sum(1 for each in fields if each.alias), MAX_ALIASES, "aliases")
            repeated += repetitions(fields)
            refuse_repeated(repeated)
            below += [each.selection_set for each in fields if each.selection_set]
        if depth == 1:
            refuse_many(roots, MAX_ROOT_FIELDS, "root fields")
        level = below


def fields_of(
    selection_set: SelectionSetNode, fragments: Fragments
) -> Iterator[FieldNode]:
    """Yield the fields of one level, those of its fragments included, each once."""
    seen: set[str] = set()
    waiting = [*selection_set.selections]
    while waiting:
        selection = waiting.pop()
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, InlineFragmentNode):
            waiting += selection.selection_set.selections
        elif isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name not in seen and name in fragments:
                waiting += fragments[name].selection_set.selections
            seen.add(name)


def refuse_many(count: int, limit: int, noun: str) -> None:
    if count > limit:
        raise GraphQLError(
            f"GraphQL queries should have at most {limit} {noun}, got {count} {noun}."
        )


def repetitions(fields: list[FieldNode]) -> int:
    return len(fields) - len({(each.alias or each.name).value for each in fields})


def refuse_repeated(count: int) -> None:
    if count > MAX_REPETITIONS:
        raise GraphQLError(
            f"The query selects fields again where they are selected already, {count} "
            f"times in all; do so at most {MAX_REPETITIONS} times."
        )

"""The limits of a GraphQL query: what asks too much is refused before it is begun."""

from __future__ import annotations

import json

import pytest

from registry.mlflow import graphql as engine
from registry.tests.test_graphql import ECHO, Questions

TEST = 'test(inputString: "1")'


@pytest.fixture
def asked(fraud) -> Questions:
    return Questions(fraud)


def block(*parts):
    return "{" + " ".join(parts) + "}"


def equal(count, text=ECHO):
    return block(*[text] * count)


def aliased(count, text=ECHO):
    return block(*(f"a{number}: {text}" for number in range(count)))


def nested(depth):
    """A query so many levels deep, of fields that no type has."""
    return "{" + "a {" * (depth - 1) + "a" + "}" * depth


DEEP = "Query exceeds maximum depth of 10"
NESTED = "Syntax Error: Document is nested too deeply. Parsing aborted."
ROOTS = "GraphQL queries should have at most 10 root fields, got 11 root fields."
ALIASES = "GraphQL queries should have at most 10 aliases, got 11 aliases."
LARGE = "Query exceeds maximum total selections of 1000"
DOUBLING = " ".join(
    f"fragment F{i} on Query {{a {{...F{i + 1}}} b {{...F{i + 1}}}}}" for i in range(12)
)
AGAIN = block(TEST, equal(12, "output"))
TOO_MUCH = [
    ("equal roots", equal(11), ROOTS),
    ("roots of operations", f"query a {equal(6)} query b {equal(5)}", ROOTS),
    (
        "roots in fragments",
        f"fragment A on Query {equal(6)} fragment B on Query {equal(5)} {{...A ...B}}",
        ROOTS,
    ),
    ("roots in inline fragments", equal(11, f"... on Query {block(ECHO)}"), ROOTS),
    ("aliases", block(TEST, aliased(11, "output")), ALIASES),
    ("aliases at the root", aliased(11), ALIASES),
    (
        "aliases in fragments",
        f"fragment A on Test {aliased(6, 'output')} "
        + block(TEST, block("...A", *(f"b{i}: output" for i in range(5)))),
        ALIASES,
    ),
    ("depth", nested(11), DEEP),
    ("great depth", nested(2000), NESTED),
    ("great depth between comments", "{a #}\n" * 2000, NESTED),
    ("depth of values", f"{{test(inputString: {'[' * 2000}1{']' * 2000})}}", NESTED),
    ("depth of types", f"query($a: {'[' * 2000}Int{']' * 2000}) {{test}}", NESTED),
    ("a fragment in itself", "fragment F on Query {a {...F}} {...F}", DEEP),
    ("fragments that double", f"{DOUBLING} {{...F0}}", LARGE),
    ("selections", block("a", block(*(f"x{i}" for i in range(1001)))), LARGE),
    (
        "one field again and again",
        f"query a {AGAIN} query b {AGAIN}",
        (
            "The query selects fields again where they are selected already, 22 times "
            "in all; do so at most 20 times."
        ),
    ),
    (
        "characters",
        "{test} #" + "x" * 30_000,
        "The query has 30008 characters; send at most 30000.",
    ),
]


@pytest.mark.parametrize(
    "_case,query,expected", TOO_MUCH, ids=[case for case, *_ in TOO_MUCH]
)
def test_a_query_that_asks_too_much_is_refused(asked, _case, query, expected):
    assert asked.refused(query) == [expected]


@pytest.mark.parametrize(
    "query",
    [aliased(10), block(TEST, aliased(10, "output")), block(TEST, equal(21, "output"))],
)
def test_a_query_at_a_limit_is_answered(asked, query):
    assert json.loads(asked.post(query).content)["errors"] is None


def test_ten_levels_are_none_too_many(asked):
    assert DEEP not in asked.refused(nested(10))


def test_a_query_of_many_words_is_refused(asked):
    (text,) = asked.refused(block(*["a"] * (engine.MAX_TOKENS + 1)))
    assert "tokens" in text


def test_many_errors_are_cut(asked):
    fields = block(*(f"x{number}" for number in range(900)))
    refused = asked.refused(block(TEST, fields))
    assert len(refused) == engine.MAX_ERRORS + 1


def test_many_wrong_variables_are_cut(asked):
    wanted = "query($data: MlflowSearchRunsInput!)"
    query = wanted + "{mlflowSearchRuns(input: $data) {__typename}}"
    refused = asked.refused(query, data={"experimentIds": [*range(5000)]})
    assert len(refused) <= engine.MAX_ERRORS + 1


def test_no_error_repeats_a_long_query(asked):
    for query in (block("x" * 20_000), f'{{test(inputString: {"y" * 9000}"'):
        (text,) = asked.refused(query)
        assert len(text) <= engine.MAX_ERROR + 1

"""Our parser against MLflow's own: what that one takes means the same here.

Ours takes a little more (numbers as Python writes them, keys of digits, keys that are
words of SQL) and of names less: MLflow reads `tags.a."b"` and `tags..a` as keys with
quotes and dots in them, which nobody means.
"""

from __future__ import annotations

import re
from random import Random

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchExperimentsUtils, SearchUtils

from mlops.errors import InvalidInput
from registry.search.fields import EXPERIMENTS, RUNS
from registry.search.grammar import parse_filter
from registry.tests.search.generated import Known, Maker
from registry.tests.search.mangled import mangled

KNOWN = Known(("a" * 32, "b" * 32), ("mlflow-artifacts:/0/a/artifacts",))
EVERYDAY = 600
SOAK = 30_000
# MLflow reads a number and the word that touches it as two.
GLUED = re.compile(r"[0-9.]and\b", re.IGNORECASE)
BACKSLASHES = re.compile(r"\\*\Z")
CHECKS = {
    "metric": SearchUtils.is_metric,
    "parameter": SearchUtils.is_param,
    "tag": SearchUtils.is_tag,
    "dataset": SearchUtils.is_dataset,
}


def ours(text, table):
    try:
        found = parse_filter(text, table)
    except InvalidInput:
        return None
    return [(c.name.noun, c.name.key, c.operator, c.value) for c in found]


def theirs(text, parser):
    try:
        return [checked(each) for each in parser.parse_search_filter(text)]
    except (MlflowException, ValueError):
        return None


def checked(found):
    """Check the operator, as the store does after parsing."""
    noun, key, value = found["type"], found["key"], found["value"]
    comparator = found["comparator"].upper()
    if noun == "attribute":
        SearchUtils.is_attribute(noun, key, comparator)
    else:
        CHECKS[noun](noun, comparator)
    if noun == "metric":
        value = float(value)
    if isinstance(value, int) and abs(value) > 2**64:
        value = float("inf") if value > 0 else float("-inf")
    return noun, key, comparator, value


def is_exotic(found):
    """Whether MLflow took quotes, blanks, stars or empty parts for pieces of a key."""
    return any(
        set(key) & set("`\"'* \n\t") or not all(key.split("."))
        for _, key, _, _ in found
    )


def is_unfinished(found):
    """Whether a pattern ends with a lone backslash, which no database takes either."""
    patterns = (value for *_, comparator, value in found if "LIKE" in comparator)
    return any(len(BACKSLASHES.search(text)[0]) % 2 for text in patterns)


def is_odd(found, text):
    return is_exotic(found) or is_unfinished(found) or GLUED.search(text)


def texts(count, seed):
    for number in range(seed, seed + count):
        maker = Maker(number, KNOWN)
        text = maker.written_filter(maker.clauses())
        # Every second one with mistakes in it.
        yield mangled(text, Random(number)) if number % 2 else text


def compare(count, seed):
    agreed = 0
    for text in texts(count, seed):
        expected, found = theirs(text, SearchUtils), ours(text, RUNS)
        if expected is None:
            continue
        if found is None and is_odd(expected, text):
            continue
        assert plain(found) == plain(expected), text
        agreed += 1
    assert agreed > count * 0.5


def plain(found):
    """Numbers beyond all columns are infinite to us."""
    limits = (float("inf"), float("-inf"))
    return [
        (*rest, str(limits[value < 0]) if is_huge(value) else value)
        for *rest, value in found
    ]


def is_huge(value):
    return isinstance(value, int | float) and abs(value) > 2**64


def test_what_mlflow_reads_means_the_same():
    compare(EVERYDAY, 0)


@pytest.mark.soak
def test_thirty_thousand_filters_mean_what_mlflow_reads():
    compare(SOAK, 1_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "name = 'a' AND tags.`b c` ILIKE '%d'",
        "experiment_id IN ('1', '2')",
        "tag.k IS NOT NULL and creation_time >= 5",
        "attribute.last_update_time != 17",
    ],
)
def test_filters_of_experiments_mean_what_mlflow_reads(text):
    expected = SearchExperimentsUtils.parse_search_filter(text)
    assert ours(text, EXPERIMENTS) == [
        (each["type"], each["key"], each["comparator"].upper(), each["value"])
        for each in expected
    ]

from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InvalidInput
from registry.mlflow import paging, rules, wire

GOOD_NAMES = [
    "a",
    "a b",
    "a.b",
    "a-b_c:d",
    "a/b",
    ".a",
    "a.",
    "a..b",
    " ",
    "損失",
    "é",
    "1",
    "a/.b",
    "x...",
]
BAD_NAMES = [
    ("", "This name would resolve to '.'"),
    (".", "This name would resolve to '.'"),
    ("..", "This name would resolve to '..'"),
    ("../a", "This name would resolve to '../a'"),
    ("..a", "This name would resolve to '..a'"),
    ("a/..", "This name would resolve to '.'"),
    ("a/../b", "This name would resolve to 'b'"),
    ("./a", "This name would resolve to 'a'"),
    ("/a", "This name would resolve to '/a'"),
    ("//a", "This name would resolve to '//a'"),
    ("a//b", "This name would resolve to 'a/b'"),
    ("a/", "This name would resolve to 'a'"),
    ("a%", "Names may only contain"),
    ("a\n", "Names may only contain"),
    ("\n", "Names may only contain"),
    ("a\\b", "Names may only contain"),
    ("a😀", "Names may only contain"),
    ("{a}", "Names may only contain"),
    ('"', "Names may only contain"),
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_name_that_is_its_own_path_is_fine(name):
    rules.check_name(name, "key")


@pytest.mark.parametrize("name,message", BAD_NAMES)
def test_a_name_that_leads_elsewhere_is_refused(name, message):
    with pytest.raises(InvalidInput) as refusal:
        rules.check_name(name, "params[3].key")
    assert message in refusal.value.message
    assert "'params[3].key'" in refusal.value.message


@given(st.text(alphabet="./a- :_%\n", max_size=6))
def test_the_quick_look_at_a_name_agrees_with_the_rule(name):
    normal = posixpath.normpath(name)
    allowed = (
        re.fullmatch(r"[/\w.\- :]*", name) is not None
        and normal == name
        and normal != "."
        and not normal.startswith(("..", "/"))
    )
    try:
        rules.check_name(name, "key")
    except InvalidInput:
        assert not allowed
    else:
        assert allowed


metric = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["a", "b", "c/d", "%", "", None, 5]),
        "value": st.sampled_from([1, 0.5, -0.0, "NaN", "x", True, None, 2**70]),
        "timestamp": st.sampled_from([0, 5, "7", -1, 2**63, 1.5, None, 3.0]),
    },
    optional={"step": st.sampled_from([0, -3, "4", 2.0, None, "x", 2**63])},
)


@given(st.lists(metric, max_size=4))
def test_the_quick_way_through_a_batch_reads_what_the_slow_one_reads(metrics):
    def slowly():
        return [wire._point(each, f"metrics[{i}].") for i, each in enumerate(metrics)]

    def outcome(read, *arguments):
        try:
            return read(*arguments)
        except InvalidInput as error:
            return error.message

    expected = outcome(slowly)
    assert outcome(wire.points, metrics) == expected
    if isinstance(expected, list):
        # And again, when every name has been seen before.
        assert wire.points([*metrics, *metrics]) == expected * 2


def test_minus_zero_is_zero_so_that_it_is_one_point():
    ((_, _, _, value),) = wire.points([{"key": "a", "value": -0.0, "timestamp": 1}])
    assert str(value) == "0.0"


@pytest.mark.parametrize(
    "tags,expected",
    [
        ({}, {"tags": {}}),
        ({"a": "1"}, {"tags": {"a": "1"}}),
        ({"mlflow.runName": ""}, {"tags": {}}),
        (
            {"mlflow.runName": "n", "a": "1"},
            {"tags": {"mlflow.runName": "n", "a": "1"}, "run_name": "n"},
        ),
    ],
)
def test_the_tag_of_the_name_is_the_name(tags, expected):
    assert wire.tags_and_name(tags) == expected


@pytest.mark.parametrize("name", ["n" * 501, "a\nb", "\x7f", "\x85"])
def test_a_name_in_the_tag_obeys_the_rules_of_names(name):
    with pytest.raises(InvalidInput):
        wire.tags_and_name({"mlflow.runName": name})


@pytest.mark.parametrize(
    "text,number",
    [
        ("0", 0),
        ("7", 7),
        ("007", 7),
        ("-1", -1),
        ("9" * 30, 2**63 - 1),
        ("-" + "9" * 30, -(2**63)),
    ],
)
def test_an_experiments_number_is_read(text, number):
    assert rules.experiment_number(text) == number


@pytest.mark.parametrize("text", ["", "a", "1 ", "+1", "1.0", "1_0", "٣", "9" * 401])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(InvalidInput, match="Experiment ID must be a valid integer"):
        rules.experiment_number(text)


def test_experiments_are_named_once_each():
    assert rules.experiment_numbers(["3", "1", "3", "01"]) == [1, 3]


# Tokens


def test_a_token_is_opened_by_its_own_request_only():
    token = paging.seal(["a", 1], "runs/search", [1, 2], "active")
    assert paging.unseal(token, "runs/search", [1, 2], "active") == ["a", 1]
    assert paging.unseal("", "runs/search") == []
    for other in (("runs/search", [1], "active"), ("runs/search", [1, 2], "all"), ()):
        with pytest.raises(InvalidInput, match="Invalid page token"):
            paging.unseal(token, *other)


def test_a_token_is_put_at_the_end_of_an_object():
    body = paging.append(b'{"runs":[]}', ["x"], "q")
    assert body.startswith(b'{"runs":[],"next_page_token":"')
    assert body.endswith(b'"}')
    assert paging.append(b"{}", [], "q") == b"{}"


@pytest.mark.parametrize("key", ["old", "new"])
def test_a_token_of_the_last_secret_is_still_opened(settings, key):
    settings.SECRET_KEY = "old"
    token = paging.seal(["a"], "q")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old"]
    assert paging.unseal(token, "q") == ["a"]

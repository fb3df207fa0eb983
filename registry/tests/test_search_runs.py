from __future__ import annotations

import itertools
import random

import pytest

from registry.models import Run
from registry.tests.factories import ExperimentFactory, RunFactory
from registry.tests.protocol import (
    data_of,
    error,
    invalid,
    mistyped,
    statements,
)
from registry.tests.test_history import refused

POSITIVE = (
    "Invalid value {} for parameter 'max_results' supplied. "
    "It must be a positive integer"
)


def names(answer):
    return [run["info"]["run_name"] for run in answer.get("runs", [])]


def pages(tracking, size, **body):
    token = ""
    while True:
        answer = tracking.ok("runs/search", max_results=size, page_token=token, **body)
        yield names(answer)
        token = answer.get("next_page_token")
        if token is None:
            return
        assert token


@pytest.fixture
def trees(cast):
    return ExperimentFactory(project=cast.fraud, name="trees", iid=7)


def test_runs_come_newest_start_first_then_by_id(fraud, trees):
    runs = [
        RunFactory(experiment=trees, start_time_ms=start)
        for start in (5, -1, 5, 0, 2**63 - 1, -(2**63), 0)
    ]
    expected = sorted(runs, key=lambda run: (-run.start_time_ms, run.pk))
    answer = fraud.ok("runs/search", experiment_ids=["7"])
    assert names(answer) == [run.name for run in expected]
    assert set(answer) == {"runs"}


def test_a_found_run_is_the_run_that_get_shows(fraud):
    run = fraud.run(tags=[{"key": "team", "value": "ü"}])
    fraud.ok(
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "loss", "value": 1, "timestamp": 1, "step": 1}],
        params=[{"key": "depth", "value": "3"}],
    )
    dataset = {"name": "d", "digest": "x", "source_type": "local", "source": "s"}
    fraud.ok("runs/log-inputs", run_id=run, datasets=[{"dataset": dataset}])
    (found,) = fraud.ok("runs/search", experiment_ids=["0"])["runs"]
    assert found == fraud.run_of(run)
    assert found["inputs"] == {"dataset_inputs": [{"dataset": dataset}]}


NOTHING = [
    ("no ids", {}),
    ("an empty list", {"experiment_ids": []}),
    ("null", {"experiment_ids": None}),
    ("an unknown id", {"experiment_ids": ["4711"]}),
    ("a negative id", {"experiment_ids": ["-1"]}),
    ("an id beyond int64", {"experiment_ids": ["9" * 30]}),
    ("an experiment without runs", {"experiment_ids": ["7"]}),
]


@pytest.mark.parametrize("_case,body", NOTHING, ids=[case for case, _ in NOTHING])
def test_a_search_that_finds_nothing_is_empty(fraud, trees, _case, body):
    fraud.run()
    assert fraud.ok("runs/search", **body) == {}


def test_many_experiments_are_searched_at_once(fraud, cast):
    experiments = ExperimentFactory.create_batch(30, project=cast.fraud)
    runs = [
        RunFactory(experiment=experiment, start_time_ms=start)
        for start, experiment in enumerate(experiments * 3)
    ]
    ids = [str(experiment.iid) for experiment in experiments]
    wanted = [*ids, *ids, "4711", "0"]
    answer = fraud.ok("runs/search", experiment_ids=wanted)
    assert names(answer) == [run.name for run in reversed(runs)]
    found = pages(fraud, 7, experiment_ids=wanted)
    assert list(itertools.chain(*found)) == names(answer)


def test_ten_thousand_experiments_may_be_named_and_no_more(fraud, trees):
    RunFactory(experiment=trees, name="found")
    ids = [str(number) for number in range(10_000)]
    assert names(fraud.ok("runs/search", experiment_ids=[*ids, "7"])) == ["found"]
    status, code, message = error(
        fraud.post("runs/search", experiment_ids=[*ids, "10001"])
    )
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "10001 experiments; search at most 10000" in message


# Views


@pytest.mark.parametrize(
    "view,expected",
    [
        (None, ["live"]),
        ("ACTIVE_ONLY", ["live"]),
        ("DELETED_ONLY", ["gone"]),
        ("ALL", ["gone", "live"]),
        (1, ["live"]),
        (2, ["gone"]),
        ("3", ["gone", "live"]),
        ("BAD", ["live"]),
    ],
)
def test_a_view_says_which_runs_are_meant(fraud, view, expected):
    fraud.run(run_name="live", start_time=1)
    gone = fraud.run(run_name="gone", start_time=2)
    fraud.ok("runs/delete", run_id=gone)
    answer = fraud.ok("runs/search", experiment_ids=["0"], run_view_type=view)
    assert names(answer) == expected


# Pages


@pytest.mark.parametrize("size", [1, 2, 5, 20, 50])
@pytest.mark.parametrize("view", ["ACTIVE_ONLY", "ALL"])
def test_pages_hold_all_runs_once_in_order(fraud, trees, size, view):
    chance = random.Random(size)
    for number in range(40):
        # Many starts are equal, as where a client sends none.
        start = chance.choice([0, 0, 5, 9])
        RunFactory(experiment=trees, start_time_ms=start, name=str(number))
    deleted = Run._base_manager.filter(name__in=[str(n) for n in range(0, 40, 3)])
    deleted.update(deleted_at="2026-01-01T00:00Z")
    kept = Run._base_manager.filter(experiment=trees)
    if view == "ACTIVE_ONLY":
        kept = kept.filter(deleted_at=None)
    expected = [run.name for run in kept.order_by("-start_time_ms", "pk")]
    body = {"experiment_ids": ["7"], "run_view_type": view}
    found = list(pages(fraud, size, **body))
    assert list(itertools.chain(*found)) == expected
    assert len(found) == -(-len(expected) // size)


def test_a_run_made_meanwhile_does_not_move_the_next_page(fraud, trees):
    for start in range(4):
        RunFactory(experiment=trees, start_time_ms=start, name=str(start))
    first = fraud.ok("runs/search", experiment_ids=["7"], max_results=2)
    RunFactory(experiment=trees, start_time_ms=9, name="new")
    second = fraud.ok(
        "runs/search",
        experiment_ids=["7"],
        max_results=2,
        page_token=first["next_page_token"],
    )
    assert (names(first), names(second)) == (["3", "2"], ["1", "0"])


def test_pages_may_change_their_size(fraud, trees):
    for start in range(4):
        RunFactory(experiment=trees, start_time_ms=start, name=str(start))
    first = fraud.ok("runs/search", experiment_ids=["7"], max_results=1)
    token = first["next_page_token"]
    rest = fraud.ok("runs/search", experiment_ids=["7"], page_token=token)
    assert names(rest) == ["2", "1", "0"]


@pytest.mark.parametrize("count", [1, 20, 200])
def test_a_search_takes_one_statement_however_much_it_finds(fraud, trees, count):
    for run in RunFactory.create_batch(count, experiment=trees):
        fraud.ok(
            "runs/log-batch",
            run_id=run.pk.hex,
            metrics=[{"key": "m", "value": 1, "timestamp": 1}],
            params=[{"key": "p", "value": "1"}],
            tags=[{"key": "t", "value": "1"}],
        )
    response = fraud.post("runs/search", experiment_ids=["7"])
    assert len(response.json()["runs"]) == count
    assert statements(response) == 1
    full = response.json()["runs"][0]
    assert (data_of(full, "metrics"), data_of(full, "params")) == ({"m": 1}, {"p": "1"})


# What is refused


REFUSED = [
    ("no results", {"max_results": 0}, invalid(POSITIVE.format(0))),
    ("fewer than none", {"max_results": -1}, invalid(POSITIVE.format(-1))),
    (
        "too many results",
        {"max_results": 50_001},
        invalid(
            "Invalid value 50001 for parameter 'max_results' supplied. "
            "It must be at most 50000"
        ),
    ),
    (
        "more than int64",
        {"max_results": 2**63},
        mistyped("9223372036854775808", "max_results", "int"),
    ),
    (
        "an id that is no number",
        {"experiment_ids": ["0", "abc"]},
        invalid("Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
    ),
    (
        "ids that are no list",
        {"experiment_ids": "1"},
        mistyped('"1"', "experiment_ids", "str"),
    ),
    (
        "ids that are no texts",
        {"experiment_ids": [1]},
        mistyped("[1]", "experiment_ids", "list"),
    ),
    (
        "an order by what runs do not have",
        {"order_by": ["colour DESC"]},
        invalid(
            "Invalid attribute key 'colour' specified. Valid keys are '['Created', "
            "'artifact_uri', 'created', 'end_time', 'run_id', 'run_name', "
            "'start_time', 'status', 'user_id']' (at position 1 of order_by clause 1)"
        ),
    ),
    (
        "a filter that ends too early",
        {"filter": "metrics.loss >"},
        invalid(
            "Expected numeric value type for metric. Found nothing (at position 15)"
        ),
    ),
    (
        "a thousand clauses of order",
        {"order_by": ["start_time DESC"] * 1000},
        invalid("'order_by' has 1000 clauses; use at most 20."),
    ),
]


@pytest.mark.parametrize(
    "_case,change,expected", REFUSED, ids=[case for case, *_ in REFUSED]
)
def test_a_wrong_search_is_refused(fraud, _case, change, expected):
    body = {"experiment_ids": ["0"], **change}
    assert error(fraud.post("runs/search", **body)) == expected


@pytest.mark.parametrize(
    "clause",
    [
        "start_time DESC",
        "attributes.start_time DESC",
        "attribute.start_time desc",
        "attributes.`start_time` DESC",
        "  start_time   DESC ",
    ],
)
def test_the_default_order_may_be_asked_for(fraud, clause):
    run = fraud.run()
    answer = fraud.ok("runs/search", experiment_ids=["0"], order_by=[clause], filter="")
    assert answer["runs"][0]["info"]["run_id"] == run


# Who may search, and whose tokens


def test_mallory_finds_nothing_of_others(fraud, trees, stranger_in_fraud, churn):
    RunFactory(experiment=trees)
    fraud.run()
    own = stranger_in_fraud.run(run_name="own")
    for ids in (["7"], ["0", "7"], [str(trees.iid), "0"]):
        for view in ("ACTIVE_ONLY", "ALL", "DELETED_ONLY"):
            body = {"experiment_ids": ids, "run_view_type": view}
            assert churn.ok("runs/search", **body) == {}
            found = stranger_in_fraud.ok("runs/search", **body).get("runs", [])
            assert {run["info"]["run_id"] for run in found} <= {own}


def test_a_foreign_experiment_beside_an_own_one_is_passed_over(
    cast, fraud, stranger_in_fraud
):
    hers = ExperimentFactory(project=cast.umbrella_fraud, iid=8)
    RunFactory(experiment=hers, name="hers")
    RunFactory(experiment=ExperimentFactory(project=cast.fraud, iid=9), name="ours")
    ids = ["8", "9", "9", "123"]
    assert names(fraud.ok("runs/search", experiment_ids=ids)) == ["ours"]
    assert names(stranger_in_fraud.ok("runs/search", experiment_ids=ids)) == ["hers"]


def test_a_token_opens_its_own_search_only(fraud, trees, stranger_in_fraud, churn):
    RunFactory.create_batch(3, experiment=trees)
    body = {"experiment_ids": ["7"], "max_results": 1}
    body["page_token"] = fraud.ok("runs/search", **body)["next_page_token"]
    assert len(fraud.ok("runs/search", **body)["runs"]) == 1
    for other in (stranger_in_fraud, churn):
        assert refused(other.post("runs/search", **body))
    for change in ({"experiment_ids": ["7", "0"]}, {"run_view_type": "ALL"}):
        assert refused(fraud.post("runs/search", **{**body, **change}))
    for junk in ("junk", "eyJvZmZzZXQiOiAxfQ==", body["page_token"][:-1]):
        assert refused(fraud.post("runs/search", **{**body, "page_token": junk}))


def test_the_order_of_ids_does_not_matter_to_a_token(fraud, trees):
    RunFactory.create_batch(3, experiment=trees)
    body = {"experiment_ids": ["7", "0"], "max_results": 1}
    token = fraud.ok("runs/search", **body)["next_page_token"]
    body |= {"experiment_ids": ["0", "7", "7"], "page_token": token}
    assert len(fraud.ok("runs/search", **body)["runs"]) == 1


def test_a_reader_may_search(fraud, reader):
    run = fraud.run()
    found = reader.ok("runs/search", experiment_ids=["0"])["runs"]
    assert [each["info"]["run_id"] for each in found] == [run]

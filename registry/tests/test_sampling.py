"""Bulk history and samples of many runs: which points come, and of which runs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from django.db import connection

from registry.mlflow import rules
from registry.tests.protocol import (
    error,
    invalid,
    missing,
    mistyped,
    points,
    statements,
)

INTERVAL = "metrics/get-history-bulk-interval"
BULK = "metrics/get-history-bulk"
STORE = """
    INSERT INTO run_metrics (id, organization_id, experiment_run_id, metric_name,
                             timestamp_ms, step, value)
    SELECT gen_random_uuid(), run.organization_id, run.id, 'loss', point.*
    FROM unnest(%s::bigint[], %s::bigint[], %s::float8[]) AS point
    CROSS JOIN experiment_runs run WHERE run.id = %s
"""
# As many points as the function still numbers one by one.
FEW = 5000


def log(tracking, run, *logged, key="loss"):
    metrics = [
        {"key": key, "timestamp": timestamp, "step": step, "value": value}
        for timestamp, step, value in logged
    ]
    tracking.ok("runs/log-batch", run_id=run, metrics=metrics)


def store(run_id, rows):
    """Store (timestamp, step, value) by the thousand, past the protocol."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(STORE, [*columns, run_id])


def sample(tracking, *runs, key="loss", **query):
    answer = tracking.read(INTERVAL, run_ids=list(runs), metric_key=key, **query)
    return [points(metric) for metric in answer.get("metrics", [])]


def parts(count, size):
    """Where MLflow cuts: even parts, the longer ones in front; then the last point."""
    short, longer = divmod(count, size)
    starts = [part * short + min(part, longer) for part in range(min(size, count))]
    return [*starts[:-1], count - 1]


@pytest.fixture
def run(fraud):
    return fraud.run()


# Which points


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 9, 10, 11, 2500])
def test_a_sample_takes_the_first_point_of_even_parts_and_the_last_of_all(
    fraud, run, size
):
    logged = [(100 - i, i, i / 4) for i in range(10)]
    log(fraud, run, *logged)
    expected = [logged[number] for number in parts(10, size)]
    assert sample(fraud, run, max_results=size) == expected


def test_ten_points_are_cut_as_by_mlflow(fraud, run):
    """Seen of MLflow 3.18's own server."""
    log(fraud, run, *((i, i, i) for i in range(10)))
    steps = {
        size: [step for _, step, _ in sample(fraud, run, max_results=size)]
        for size in (1, 2, 3, 4, 7)
    }
    assert steps == {
        1: [9],
        2: [0, 9],
        3: [0, 4, 9],
        4: [0, 3, 6, 9],
        7: [0, 2, 4, 6, 7, 8, 9],
    }


def test_a_sample_comes_by_step_then_time_then_value_with_nan_as_zero(fraud, run):
    ordered = [
        (9, -1, 1),
        (1, 0, -1.0),
        (1, 0, 0),
        (1, 0, "NaN"),
        (1, 0, 5.0),
        (1, 0, "Infinity"),
        (2, 0, "-Infinity"),
        (0, 3, 1.0),
    ]
    log(fraud, run, *reversed(ordered))
    largest = 1.7976931348623157e308
    numbers = {"Infinity": largest, "-Infinity": -largest}
    assert sample(fraud, run) == [(t, s, numbers.get(v, v)) for t, s, v in ordered]


def test_points_of_one_step_are_sampled_by_their_time(fraud, run):
    log(fraud, run, *((i, 0, i) for i in range(100)))
    found = sample(fraud, run, max_results=5)
    assert found == [(0, 0, 0), (20, 0, 20), (40, 0, 40), (60, 0, 60), (99, 0, 99)]


@pytest.mark.parametrize("stride,first", [(1, 0), (50, -7)])
def test_a_long_metric_of_even_steps_is_cut_as_a_short_one(fraud, run, stride, first):
    count = FEW + 3
    logged = [(i, first + i * stride, float(i)) for i in range(count)]
    store(run, logged)
    for size in (1, 2, 3, 320, 2500):
        expected = [logged[number] for number in parts(count, size)]
        assert sample(fraud, run, max_results=size) == expected


def test_a_long_metric_of_uneven_steps_is_spread_over_its_steps(fraud, run):
    logged = [(i, int(i**1.1), float(i)) for i in range(FEW + 100)]
    store(run, logged)
    found = sample(fraud, run, max_results=100)
    assert (found[0], found[-1]) == (logged[0], logged[-1])
    assert found == sorted(set(found))
    assert 90 <= len(found) <= 100
    widest = max(b[1] - a[1] for a, b in pairwise(found))
    assert widest <= 2 * logged[-1][1] / 100


def test_of_two_points_at_one_step_of_a_long_metric_the_first_in_time_is_taken(
    fraud, run
):
    count = FEW + 3
    logged = [(i, i, float(i)) for i in range(count)]
    store(run, logged + [(t + 7, step, 0.5) for t, step, _ in logged])
    expected = [logged[number] for number in parts(count, 320)]
    expected[-1] = (count + 6, count - 1, 0.5)
    assert sample(fraud, run, max_results=320) == expected


def test_a_long_metric_with_gaps_in_even_steps_is_spread_over_its_steps(fraud, run):
    logged = [(i, i, float(i)) for i in range(FEW + 500) if i % 50]
    store(run, logged)
    found = sample(fraud, run, max_results=320)
    assert (found[0], found[-1]) == (logged[0], logged[-1])
    assert len(found) == 320
    gaps = {b[1] - a[1] for a, b in pairwise(found)}
    # The last part begins with its first point and ends with its last one.
    assert min(gaps) >= 16
    assert max(gaps) <= 36


def test_few_points_of_even_steps_and_one_far_away_are_all_taken(fraud, run):
    logged = [(i, i, float(i)) for i in (*range(150), 10**6)]
    store(run, logged)
    assert sample(fraud, run, max_results=320) == logged


@pytest.mark.parametrize("far", [0, 2**62])
def test_a_long_metric_in_one_place_is_numbered_point_by_point(fraud, run, far):
    """Hops over steps would find two points: MLflow's clients log to step 0."""
    count = FEW + 6
    logged = [(i, 0, float(i)) for i in range(count - 1)]
    logged.append((count, far, 0.5))
    store(run, logged)
    expected = [logged[number] for number in parts(count, 320)]
    assert sample(fraud, run, max_results=320) == expected


def test_steps_may_lie_at_the_ends_of_their_range(fraud, run):
    ends = [(1, -(2**63), 1.0), (1, 2**63 - 1, 2.0)]
    log(fraud, run, *ends)
    assert sample(fraud, run) == ends
    store(run, [(2, step, 3.0) for step in range(FEW)])
    found = sample(fraud, run, max_results=50)
    assert len(found) == 50
    assert (found[0], found[-1]) == (ends[0], ends[1])


def test_an_interval_holds_both_its_ends(fraud, run):
    log(fraud, run, *((i, i, i) for i in range(10)))
    for start, end, size, steps in (
        (3, 3, 5, [3]),
        (3, 7, 5, [3, 4, 5, 6, 7]),
        (3, 7, 3, [3, 5, 7]),
        (-5, 2, 2, [0, 2]),
        (30, 70, 5, []),
        (2**31, 2**40, 5, []),
    ):
        found = sample(fraud, run, start_step=start, end_step=end, max_results=size)
        assert [step for _, step, _ in found] == steps


def test_each_run_is_sampled_by_itself_in_the_order_asked_for(fraud, run):
    other = fraud.run()
    log(fraud, run, *((i, i, i) for i in range(10)))
    log(fraud, other, (5, 5, 5))
    answer = fraud.read(
        INTERVAL, run_ids=[other, run, other], metric_key="loss", max_results=2
    )
    found = [(metric["run_id"], metric["step"]) for metric in answer["metrics"]]
    assert found == [(other, 5), (run, 0), (run, 9), (other, 5)]
    assert set(answer["metrics"][0]) == {"key", "value", "timestamp", "step", "run_id"}


def test_a_sample_of_no_points_is_empty(fraud, run):
    assert fraud.read(INTERVAL, run_ids=[run], metric_key="none") == {}


# Whole histories


def bulk(tracking, *runs, key="loss", **query):
    answer = tracking.read(BULK, run_id=list(runs), metric_key=key, **query)
    assert set(answer) == {"metrics"}
    return [(metric["run_id"], *points(metric)) for metric in answer["metrics"]]


def test_histories_come_by_run_then_time_then_step_then_value(fraud):
    runs = sorted(fraud.run() for _ in range(3))
    logged = [(1, 0, -1), (1, 0, 0), (1, 0, "NaN"), (1, 0, 1), (1, 2, 0), (3, -1, 0)]
    for run in runs:
        log(fraud, run, *reversed(logged))
        log(fraud, run, (0, 0, 0), key="other")
    expected = [(run, *point) for run in runs for point in logged]
    assert bulk(fraud, *reversed(runs), runs[0]) == expected
    assert bulk(fraud, *runs, max_results=8) == expected[:8]
    assert bulk(fraud, *runs, max_results=6) == expected[:6]
    assert bulk(fraud, *runs, max_results=99_999) == expected
    assert bulk(fraud, *runs, max_results=0) == []


def test_histories_without_points_are_an_empty_list(fraud, run):
    assert bulk(fraud, run, key="none") == bulk(fraud, run, key="") == []


def test_histories_hold_no_more_points_than_mlflow_sends(fraud, run, monkeypatch):
    assert rules.MAX_BULK_HISTORY == 25_000
    monkeypatch.setattr(rules, "MAX_BULK_HISTORY", 5)
    log(fraud, run, *((i, i, 0.5) for i in range(9)))
    assert len(bulk(fraud, run)) == len(bulk(fraud, run, max_results=8)) == 5


# Both


@pytest.mark.parametrize("path,name", [(INTERVAL, "run_ids"), (BULK, "run_id")])
def test_a_hundred_runs_take_one_statement(fraud, path, name):
    own = [fraud.run() for _ in range(3)]
    for run in own:
        log(fraud, run, (1, 0, 1.0))
    for count in (1, 20, 100):
        query = {name: (own * 34)[:count], "metric_key": "loss"}
        assert statements(fraud.get(path, **query)) == 1


@pytest.mark.parametrize("path,name", [(INTERVAL, "run_ids"), (BULK, "run_id")])
def test_runs_of_others_are_passed_over_like_runs_that_nobody_has(
    fraud, churn, stranger_in_fraud, run, path, name
):
    log(fraud, run, (1, 0, 1.0))
    random = "0123456789abcdef" * 2
    for other in (churn, stranger_in_fraud):
        own = other.run()
        log(other, own, (1, 0, 2.0))
        for ids in ([run], [run, own], [own, run]):
            asked = other.get(path, **{name: ids, "metric_key": "loss"})
            random_ids = [random if each == run else each for each in ids]
            twin = other.get(path, **{name: random_ids, "metric_key": "loss"})
            assert (asked.status_code, asked.content) == (200, twin.content)
            assert run.encode() not in asked.content


@pytest.mark.parametrize("path,name", [(INTERVAL, "run_ids"), (BULK, "run_id")])
def test_what_is_no_run_id_is_passed_over(fraud, run, path, name):
    log(fraud, run, (1, 0, 1.0))
    ids = ["nope", "", "0" * 32, run, "x" * 5000]
    answer = fraud.read(path, **{name: ids, "metric_key": "loss"})
    assert [metric["run_id"] for metric in answer["metrics"]] == [run]


@pytest.mark.parametrize("path,name", [(INTERVAL, "run_ids"), (BULK, "run_id")])
def test_a_reader_reads_runs_that_are_deleted(fraud, reader, run, path, name):
    log(fraud, run, (1, 0, 1.0))
    fraud.ok("runs/delete", run_id=run)
    answer = reader.read(path, **{name: [run], "metric_key": "loss"})
    assert [points(metric) for metric in answer["metrics"]] == [(1, 0, 1)]


SEE = " See the API docs for more information about request parameters."
REFUSED = [
    ("no runs", INTERVAL, {"run_ids": []}, missing("run_ids")),
    ("no key", INTERVAL, {"metric_key": ""}, missing("metric_key")),
    *(
        (
            f"{size} points",
            INTERVAL,
            {"max_results": size},
            invalid(f"max_results must be between 1 and 2500.{SEE}"),
        )
        for size in (0, -1, 2501, 2**63 - 1)
    ),
    (
        "points without number",
        INTERVAL,
        {"max_results": "x"},
        mistyped('"x"', "max_results", "str"),
    ),
    (
        "101 runs",
        INTERVAL,
        {"run_ids": ["x"] * 101},
        invalid(
            "GetMetricHistoryBulkInterval request must specify at most 100 run_ids. "
            f"Received 101 run_ids.{SEE}"
        ),
    ),
    *(
        (
            f"only {name}",
            INTERVAL,
            {name: 3},
            invalid(
                "If either start step or end step are specified, both must be "
                "specified."
            ),
        )
        for name in ("start_step", "end_step")
    ),
    (
        "an end before the start",
        INTERVAL,
        {"start_step": 3, "end_step": 2},
        invalid(
            "end_step must be greater than start_step. "
            "Found start_step=3 and end_step=2."
        ),
    ),
    (
        "a step that is no number",
        INTERVAL,
        {"start_step": "x", "end_step": 2},
        mistyped('"x"', "start_step", "str"),
    ),
    (
        "no run",
        BULK,
        {"run_id": []},
        invalid("GetMetricHistoryBulk request must specify at least one run_id."),
    ),
    (
        "101 runs in bulk",
        BULK,
        {"run_id": ["x"] * 101},
        invalid(
            "GetMetricHistoryBulk request cannot specify more than 100 run_ids. "
            "Received 101 run_ids."
        ),
    ),
    (
        "no key in bulk",
        BULK,
        {"metric_key": []},
        invalid("GetMetricHistoryBulk request must specify a metric_key."),
    ),
    (
        "fewer points than none",
        BULK,
        {"max_results": -1},
        invalid(
            "Invalid value -1 for parameter 'max_results' supplied: "
            "It must be a nonnegative integer."
        ),
    ),
    (
        "a number that is none",
        BULK,
        {"max_results": "x"},
        mistyped('"x"', "max_results", "str"),
    ),
]


@pytest.mark.parametrize(
    "_case,path,change,expected", REFUSED, ids=[case for case, *_ in REFUSED]
)
def test_a_wrong_request_is_refused(fraud, run, _case, path, change, expected):
    name = "run_ids" if path == INTERVAL else "run_id"
    query = {name: [run], "metric_key": "loss", **change}
    assert error(fraud.get(path, **query)) == expected

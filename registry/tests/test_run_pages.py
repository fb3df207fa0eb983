"""Filtered and ordered pages of runs: what is on them, and that none is lost."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from django.utils import timezone

from registry.models import LatestMetric, Param, Run, RunTag
from registry.tests.factories import ExperimentFactory, RunFactory
from registry.tests.protocol import data_of, error, statements
from registry.tests.test_history import refused
from registry.tests.test_search_runs import names, pages

VALUES = (1.0, -2.5, 0.0, 1.0, 1e300, math.inf, -math.inf, math.nan, None)
WORDS = ("a", "B", "ä", "a b", "x" * 300, "", None)
DIRECTIONS = ("ASC", "DESC")


def grow(experiment, count, *, seed=1):
    """Store runs that tie, miss and hold the unusual; every fifth is deleted."""
    chance = random.Random(seed)
    runs = RunFactory.create_batch(count, experiment=experiment)
    metrics, params, tags = [], [], []
    for number, run in enumerate(runs):
        run.start_time_ms = chance.choice([0, 5, 5, 9])
        run.end_time_ms = chance.choice([None, 7, 8])
        run.status = chance.choice(["FINISHED", "FAILED", "RUNNING"])
        run.deleted_at = None if number % 5 else timezone.now()
        of_run = {
            "organization_id": run.organization_id,
            "experiment_id": experiment.pk,
            "run": run,
        }
        run.value, run.word = chance.choice(VALUES), chance.choice(WORDS)
        if run.value is not None:
            point = {"name": "m", "value": run.value, "timestamp_ms": 1}
            metrics.append(LatestMetric(id=run.pk, **of_run, **point))
        if run.word is not None:
            params.append(Param(**of_run, key="p", value=run.word))
            tags.append(RunTag(**of_run, key="t", value=run.word))
    Run._base_manager.bulk_update(
        runs, ["start_time_ms", "end_time_ms", "status", "deleted_at"]
    )
    LatestMetric._base_manager.bulk_create(metrics)
    Param._base_manager.bulk_create(params)
    RunTag._base_manager.bulk_create(tags)
    return runs


@pytest.fixture
def trees(cast):
    return ExperimentFactory(project=cast.fraud, name="trees", iid=7)


@pytest.fixture
def forest(trees):
    return grow(trees, 40)


def of_view(runs, view):
    kept = {"ACTIVE_ONLY": (True,), "DELETED_ONLY": (False,), "ALL": (True, False)}
    return [run for run in runs if (run.deleted_at is None) in kept[view]]


# Order


def behind(run):
    return (-run.start_time_ms, run.pk)


def by_metric(run, descends):
    """Numbers, then NaN, then nothing, whichever way the order goes."""
    if run.value is None:
        return (2, 0.0, behind(run))
    if math.isnan(run.value):
        return (1, 0.0, behind(run))
    return (0, -run.value if descends else run.value, behind(run))


@pytest.mark.parametrize("view", ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_runs_come_by_a_metric_then_nan_then_without_one(
    fraud, forest, direction, view
):
    expected = sorted(
        of_view(forest, view), key=lambda run: by_metric(run, direction == "DESC")
    )
    body = {"order_by": [f"metrics.m {direction}"], "run_view_type": view}
    answer = fraud.ok("runs/search", experiment_ids=["7"], **body)
    assert names(answer) == [run.name for run in expected]
    found = pages(fraud, 7, experiment_ids=["7"], **body)
    assert list(itertools.chain(*found)) == names(answer)


ORDERS = [
    ["metrics.m"],
    ["metrics.m DESC"],
    ["params.p"],
    ["params.p DESC"],
    ["tags.t DESC"],
    ["end_time"],
    ["end_time DESC"],
    ["start_time ASC"],
    ["status", "metrics.m DESC", "params.p"],
    ["metrics.none DESC"],
    ["run_name DESC"],
    ["run_id"],
    ["params.none", "end_time DESC", "run_id DESC"],
]
FILTERS = ["", "tags.t LIKE '%' AND attributes.status != 'FAILED'"]


@pytest.mark.parametrize("order", ORDERS, ids=[", ".join(each) for each in ORDERS])
@pytest.mark.parametrize("text", FILTERS)
def test_pages_hold_all_runs_once_in_any_order(fraud, forest, order, text):
    view = "ACTIVE_ONLY" if text else "ALL"
    body = {"order_by": order, "filter": text, "run_view_type": view}
    whole = names(fraud.ok("runs/search", experiment_ids=["7"], **body))
    found = list(pages(fraud, 13, experiment_ids=["7"], **body))
    assert list(itertools.chain(*found)) == whole
    assert len(whole) == len(set(whole))
    if not text:
        assert set(whole) == {run.name for run in forest}


@pytest.mark.parametrize("order", [["metrics.m DESC"], ["params.p"], ["end_time"]])
def test_runs_made_meanwhile_neither_hide_nor_repeat_others(
    fraud, trees, forest, order
):
    before = {run.name for run in of_view(forest, "ACTIVE_ONLY")}
    found = []
    for seed, page in enumerate(pages(fraud, 5, experiment_ids=["7"], order_by=order)):
        found.extend(page)
        if seed < 4:
            grow(trees, 4, seed=seed)
    old = [name for name in found if name in before]
    assert sorted(old) == sorted(before)
    assert len(found) == len(set(found))


def test_experiments_are_ordered_as_one(fraud, cast):
    experiments = ExperimentFactory.create_batch(3, project=cast.fraud)
    runs = [
        run
        for seed, experiment in enumerate(experiments)
        for run in grow(experiment, 15, seed=seed)
    ]
    ids = [str(experiment.iid) for experiment in experiments]
    kept = of_view(runs, "ACTIVE_ONLY")
    expected = sorted(kept, key=lambda run: by_metric(run, descends=True))
    found = pages(fraud, 4, experiment_ids=ids, order_by=["metrics.m DESC"])
    assert list(itertools.chain(*found)) == [run.name for run in expected]


# Filters


@pytest.mark.parametrize(
    "text,expected",
    [
        ("metrics.m > 0.5", lambda run: run.value is not None and run.value > 0.5),
        ("params.p = 'a'", lambda run: run.word == "a"),
        (f"params.p = '{'x' * 300}'", lambda run: run.word == "x" * 300),
        (f"params.p = '{'x' * 299}'", lambda run: False),
        ("params.p != 'a'", lambda run: run.word not in (None, "a")),
        ("tags.t LIKE 'x%'", lambda run: (run.word or "").startswith("x")),
        ("tags.t IS NULL", lambda run: run.word is None),
        ("status = 'FAILED'", lambda run: run.status == "FAILED"),
    ],
)
def test_a_filter_finds_what_meets_it(fraud, forest, text, expected):
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"):
        body = {"filter": text, "run_view_type": view}
        found = fraud.ok("runs/search", experiment_ids=["7"], **body)
        wanted = {run.name for run in of_view(forest, view) if expected(run)}
        assert set(names(found)) == wanted


def test_a_filter_finds_the_runs_that_used_a_dataset(fraud):
    users = [fraud.run(run_name=name) for name in ("one", "two", "none")]
    for number, run in enumerate(users[:2]):
        data = {"name": f"d{number}", "digest": "x", "source_type": "l", "source": "s"}
        context = [{"key": "mlflow.data.context", "value": "train"}] * (number == 0)
        inputs = [{"dataset": data, "tags": context}]
        fraud.ok("runs/log-inputs", run_id=run, datasets=inputs)

    def found(text):
        return names(fraud.ok("runs/search", experiment_ids=["0"], filter=text))

    assert found("datasets.name = 'd1'") == ["two"]
    assert set(found("dataset.digest = 'x'")) == {"two", "one"}
    assert found("datasets.name IN ('d0', 'd7')") == ["one"]
    assert found("datasets.context = 'train'") == ["one"]
    assert found("datasets.name = 'd1' AND datasets.context = 'train'") == []


def test_a_found_run_is_whole(fraud):
    run = fraud.run(tags=[{"key": "team", "value": "ü"}])
    fraud.ok(
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": "loss", "value": 1, "timestamp": 1, "step": 1}],
        params=[{"key": "depth", "value": "3"}],
    )
    body = {"experiment_ids": ["0"], "filter": "params.depth = '3'"}
    (found,) = fraud.ok("runs/search", **body)["runs"]
    assert found == fraud.run_of(run)
    assert data_of(found, "metrics") == {"loss": 1.0}


NOTHING = [
    {},
    {"experiment_ids": []},
    {"experiment_ids": ["4711"]},
    {"experiment_ids": ["7"], "filter": "metrics.m > 1 AND metrics.m < 1"},
    {"experiment_ids": ["7"], "filter": "metrics.none > 1"},
    {"experiment_ids": ["7"], "filter": "run_id IN ('x')"},
]


@pytest.mark.parametrize("body", NOTHING, ids=repr)
def test_a_search_that_finds_nothing_is_empty(fraud, forest, body):
    assert fraud.ok("runs/search", **{"filter": "metrics.m > 1", **body}) == {}


@pytest.mark.parametrize("count", [1, 20, 200])
def test_a_filtered_page_takes_two_statements_however_long(fraud, trees, count):
    grow(trees, count, seed=3)
    body = {"filter": "attributes.start_time >= 0", "order_by": ["metrics.m"]}
    response = fraud.post(
        "runs/search", experiment_ids=["7"], run_view_type="ALL", **body
    )
    assert len(response.json()["runs"]) == count
    # The savepoint that a test's transaction takes, and its release, are two of them.
    assert statements(response) == 4


# Who may search, and whose tokens


SECRETS = [
    {"filter": "metrics.m > -1e308"},
    {"filter": "params.p LIKE '%'"},
    {"filter": "tags.t IS NOT NULL"},
    {"filter": "attributes.status != 'x'"},
    {"order_by": ["metrics.m DESC"]},
    {"order_by": ["params.p"]},
]


@pytest.mark.parametrize("body", SECRETS, ids=repr)
def test_mallory_finds_nothing_of_others_by_a_filter(
    cast, fraud, forest, stranger_in_fraud, churn, body
):
    hers = grow(ExperimentFactory(project=cast.umbrella_fraud, iid=7), 10)
    assert set(names(fraud.ok("runs/search", experiment_ids=["7"], **body))) <= {
        run.name for run in forest
    }
    for view in ("ACTIVE_ONLY", "ALL", "DELETED_ONLY"):
        asked = {"experiment_ids": ["0", "7", "8"], "run_view_type": view, **body}
        assert churn.ok("runs/search", **asked) == {}
        found = names(stranger_in_fraud.ok("runs/search", **asked))
        assert found
        assert set(found) <= {run.name for run in hers}


def test_nobody_without_a_right_hears_what_is_wrong_with_a_filter(
    client, fraud, forest
):
    answers = [
        client.post(
            "/api/2.0/mlflow/runs/search",
            {"experiment_ids": ["7"], "filter": text},
            content_type="application/json",
        )
        for text in ("metrics.m > 1", "metrics.m >")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].content == answers[1].content


def test_a_token_opens_its_own_filtered_search_only(
    cast, fraud, forest, stranger_in_fraud, churn
):
    body = {"experiment_ids": ["7"], "max_results": 1, "order_by": ["metrics.m"]}
    body["filter"] = "metrics.m > -1e308"
    body["page_token"] = fraud.ok("runs/search", **body)["next_page_token"]
    assert len(fraud.ok("runs/search", **body)["runs"]) == 1
    for project in (cast.umbrella_fraud, cast.churn):
        ExperimentFactory(project=project, iid=7)
    for other in (stranger_in_fraud, churn):
        assert refused(other.post("runs/search", **body))
    for change in (
        {"filter": ""},
        {"order_by": []},
        {"order_by": ["metrics.m DESC"]},
        {"run_view_type": "ALL"},
        {"experiment_ids": ["7", "0"]},
    ):
        assert refused(fraud.post("runs/search", **{**body, **change}))


def test_a_filter_over_too_many_experiments_is_refused(fraud, forest):
    ids = [str(number) for number in range(10_001)]
    answer = fraud.post("runs/search", experiment_ids=ids, filter="metrics.m > 0")
    status, code, message = error(answer)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "10001 experiments; search at most 10000" in message
    found = fraud.ok("runs/search", experiment_ids=ids[1:], filter="metrics.m > 0")
    assert found["runs"]

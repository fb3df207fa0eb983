from __future__ import annotations

import json
import math
import random
import threading
from decimal import Decimal

import orjson
import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from registry.models import LatestMetric, Metric, Param, RunTag
from registry.sql.batch import newest_of_each
from registry.tests.protocol import (
    absent,
    data_of,
    error,
    invalid,
    missing,
    mistyped,
    statements,
    stored_run,
    tracking_as,
)

MAX = 1.7976931348623157e308


def metric(key="loss", value=0.5, timestamp=1, step=0, **more):
    return {"key": key, "value": value, "timestamp": timestamp, "step": step, **more}


def stored(model, run_id):
    return model._base_manager.filter(run_id=run_id)


@pytest.fixture
def run(fraud):
    return fraud.run()


# One point


def test_a_point_is_stored_and_is_the_latest_when_logged(fraud, run):
    fraud.ok("runs/log-metric", run_id=run, key="loss", value=0.25, timestamp=7, step=3)
    point = stored(Metric, run).get()
    assert (point.name, point.value, point.timestamp_ms, point.step) == (
        "loss",
        0.25,
        7,
        3,
    )
    assert fraud.run_of(run)["data"]["metrics"] == [metric("loss", 0.25, 7, 3)]


def test_a_point_takes_one_statement(fraud, run):
    first = fraud.post("runs/log-metric", run_id=run, **metric())
    again = fraud.post("runs/log-metric", run_id=run, **metric(step=1))
    assert (statements(first), statements(again)) == (1, 1)
    assert (first.content, first.headers["Cache-Control"]) == (b"{}", "no-store")


def test_a_point_without_step_has_step_0(fraud, run):
    fraud.ok("runs/log-metric", run_id=run, key="loss", value=1, timestamp=7)
    assert fraud.history(run, "loss") == [(7, 0, 1)]


def test_the_old_name_of_the_run_is_understood(fraud, run):
    fraud.ok("runs/log-metric", run_uuid=run, **metric())
    assert fraud.history(run, "loss") == [(1, 0, 0.5)]


def test_a_point_may_name_its_model_and_dataset(fraud, run):
    model = fraud.ok("logged-models", experiment_id="0")["model"]["info"]
    more = {"dataset_name": "d", "dataset_digest": "x"}
    fraud.ok("runs/log-metric", run_id=run, **metric(), **more)
    more["model_id"] = model["model_id"]
    fraud.ok("runs/log-metric", run_id=run, **metric(), **more)
    assert fraud.history(run, "loss") == [(1, 0, 0.5)]


def test_a_finished_run_takes_points(fraud, run):
    fraud.ok("runs/update", run_id=run, status="FINISHED")
    fraud.ok("runs/log-metric", run_id=run, **metric())
    assert fraud.history(run, "loss") == [(1, 0, 0.5)]


NUMBERS = [
    ("an integer", 3, 3.0, 3),
    ("a float", 0.1, 0.1, 0.1),
    ("text", "0.25", 0.25, 0.25),
    ("text with exponent", "-1e-7", -1e-07, -1e-07),
    ("a huge integer", 2**70, float(2**70), float(2**70)),
    ("the smallest float", 5e-324, 5e-324, 5e-324),
    ("the largest float", MAX, MAX, MAX),
    ("NaN", "NaN", math.nan, "NaN"),
    ("infinity", "Infinity", math.inf, MAX),
    ("minus infinity", "-Infinity", -math.inf, -MAX),
    ("minus zero", -0.0, 0.0, 0),
]


@pytest.mark.parametrize(
    "_case,sent,kept,answered", NUMBERS, ids=[case for case, *_ in NUMBERS]
)
@pytest.mark.parametrize("path", ["runs/log-metric", "runs/log-batch"])
def test_a_value_is_kept_as_a_number(fraud, run, path, _case, sent, kept, answered):
    if path == "runs/log-metric":
        fraud.ok(path, run_id=run, **metric(value=sent))
    else:
        fraud.ok(path, run_id=run, metrics=[metric(value=sent)])
    value = stored(Metric, run).get().value
    assert value == kept or (math.isnan(value) and math.isnan(kept))
    assert fraud.history(run, "loss")[0][2] == answered
    assert data_of(fraud.run_of(run), "metrics") == {"loss": answered}
    # PostgreSQL holds a real NaN or infinity, for every reader that is not MLflow.
    assert Decimal.from_float(value).is_finite() == math.isfinite(kept)


REFUSED_POINTS = [
    ("no run", {"run_id": None}, missing("run_id")),
    ("no key", {"key": None}, missing("key")),
    ("an empty key", {"key": ""}, missing("key")),
    ("no value", {"value": None}, missing("value")),
    ("no timestamp", {"timestamp": None}, missing("timestamp")),
    (
        "a key that is no text",
        {"key": 5},
        mistyped("5", "key", "int"),
    ),
    (
        "a value that is no number",
        {"value": "high"},
        mistyped('"high"', "value", "str"),
    ),
    (
        "a negative time",
        {"timestamp": -1},
        invalid(
            "Invalid value -1 for parameter 'timestamp' supplied: metric 'loss' "
            "(value=0.5). Timestamp must be a nonnegative long (64-bit integer) "
        ),
    ),
    (
        "a character that is not allowed",
        {"key": "lo%ss"},
        invalid(
            "Invalid value \"lo%ss\" for parameter 'name' supplied: Names may only "
            "contain alphanumerics, underscores (_), dashes (-), periods (.), spaces "
            "( ), colon(:) and slashes (/)."
        ),
    ),
    (
        "a path that leads elsewhere",
        {"key": "a/../b"},
        invalid(
            "Invalid value \"a/../b\" for parameter 'name' supplied: Names may be "
            "treated as files in certain cases, and must not resolve to other names "
            "when treated as such. This name would resolve to 'b'"
        ),
    ),
    (
        "a long key",
        {"key": "k" * 251},
        invalid("'Metric name' exceeds the maximum length of 250 characters"),
    ),
]


@pytest.mark.parametrize(
    "_case,change,expected", REFUSED_POINTS, ids=[case for case, *_ in REFUSED_POINTS]
)
def test_a_wrong_point_is_refused_in_mlflows_words(fraud, run, _case, change, expected):
    body = {"run_id": run, **metric(), **change}
    assert error(fraud.post("runs/log-metric", **body)) == expected
    assert not stored(Metric, run).exists()


@pytest.mark.parametrize("field", ["timestamp", "step"])
@pytest.mark.parametrize("value", [True, "x", "1_0", "١", 1.5, 2**63, 1e30, [], {}, ""])
def test_a_number_that_is_no_int64_is_refused(fraud, run, field, value):
    response = fraud.post("runs/log-metric", run_id=run, **metric() | {field: value})
    status, code, message = error(response)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert f"'{field}'" in message


@pytest.mark.parametrize(
    "value", [True, "nan", "inf", "1_0", "1e400", "0x10", " 1", "", [], {}, "NaN\n"]
)
def test_a_value_that_is_no_number_is_refused(fraud, run, value):
    body = metric() | {"value": value}
    for response in (
        fraud.post("runs/log-metric", run_id=run, **body),
        fraud.post("runs/log-batch", run_id=run, metrics=[body]),
    ):
        assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert not stored(Metric, run).exists()


@pytest.mark.parametrize("value", [0, 2**63 - 1, 253_402_300_800_000])
@pytest.mark.parametrize("written", [int, str, float])
def test_any_int64_is_kept_as_time_and_step(fraud, run, value, written):
    if written is float:
        value = min(value, 2**53)  # beyond it a float is no certain integer
    sent = written(value)
    fraud.ok("runs/log-metric", run_id=run, **metric(timestamp=sent, step=sent))
    assert fraud.history(run, "loss") == [(value, value, 0.5)]


def test_a_step_may_be_negative(fraud, run):
    fraud.ok("runs/log-metric", run_id=run, **metric(step=-(2**63)))
    fraud.ok("runs/log-batch", run_id=run, metrics=[metric(step=-5)])
    assert fraud.history(run, "loss") == [(1, -(2**63), 0.5), (1, -5, 0.5)]


@pytest.mark.parametrize(
    "key", ["損失/訓練", "a b.c-d:e_f", "größe", "k" * 250, ".hidden", "a/b/c"]
)
def test_a_name_in_any_script_is_kept(fraud, run, key):
    fraud.ok("runs/log-metric", run_id=run, **metric(key))
    fraud.ok(
        "runs/log-batch",
        run_id=run,
        metrics=[metric(key, step=1)],
        params=[{"key": key, "value": "größer 損失 \u2028 😀"}],
        tags=[{"key": key, "value": '"\\/\b\f\n\r\t\x7f'}],
    )
    assert fraud.history(run, key) == [(1, 0, 0.5), (1, 1, 0.5)]
    found = fraud.run_of(run)
    assert data_of(found, "metrics") == {key: 0.5}
    assert data_of(found, "params") == {key: "größer 損失 \u2028 😀"}
    assert data_of(found, "tags")[key] == '"\\/\b\f\n\r\t\x7f'


# The latest point


LATEST = [
    ("a higher step wins over a later time", [(9, 1, 5.0), (1, 2, 1.0)], 1.0),
    ("the later time wins at one step", [(9, 1, 1.0), (1, 1, 5.0)], 1.0),
    ("the higher value wins at one moment", [(1, 1, 1.0), (1, 1, 5.0)], 5.0),
    ("NaN counts as 0", [(1, 1, -1.0), (1, 1, "NaN")], "NaN"),
    ("NaN counts as 0, not as more", [(1, 1, 1.0), (1, 1, "NaN")], 1.0),
    ("infinity is the highest", [(1, 1, "Infinity"), (1, 1, 5.0)], MAX),
    ("a NaN with a higher step wins", [(1, 2, "NaN"), (9, 1, 5.0)], "NaN"),
]


@pytest.mark.parametrize(
    "_case,logged,latest", LATEST, ids=[case for case, *_ in LATEST]
)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("how", ["points", "batch", "batches"])
def test_the_latest_point_is_the_newest_not_the_last_written(
    fraud, run, how, turned, _case, logged, latest
):
    logged = [
        metric(value=value, timestamp=timestamp, step=step)
        for timestamp, step, value in (reversed(logged) if turned else logged)
    ]
    if how == "batch":
        fraud.ok("runs/log-batch", run_id=run, metrics=logged)
    for each in logged:
        if how == "points":
            fraud.ok("runs/log-metric", run_id=run, **each)
        elif how == "batches":
            fraud.ok("runs/log-batch", run_id=run, metrics=[each])
    assert data_of(fraud.run_of(run), "metrics") == {"loss": latest}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(0, 3),
            st.integers(-2, 2),
            st.sampled_from([0.0, -1.0, 1.0, math.nan, math.inf, -math.inf]),
        )
    )
)
def test_one_newest_point_is_marked_per_name(points):
    marked = [p for p, m in zip(points, newest_of_each(points), strict=True) if m]
    assert len(marked) == len({name for name, *_ in points})

    def rank(point):
        _, timestamp, step, value = point
        return step, timestamp, 0.0 if math.isnan(value) else value

    for newest in marked:
        rivals = [point for point in points if point[0] == newest[0]]
        assert rank(newest) == max(map(rank, rivals))


# Replays


def test_a_replayed_point_stores_nothing(fraud, run):
    for _ in range(3):
        fraud.ok("runs/log-metric", run_id=run, **metric(value="NaN"))
    assert stored(Metric, run).count() == 1


def test_a_replayed_batch_stores_nothing(fraud, run):
    batch = {
        "metrics": [metric(step=step, value=step / 7) for step in range(50)],
        "params": [{"key": "depth", "value": "3"}],
        "tags": [{"key": "team", "value": "a"}],
    }
    before = fraud.ok("runs/log-batch", run_id=run, **batch), fraud.run_of(run)
    after = fraud.ok("runs/log-batch", run_id=run, **batch), fraud.run_of(run)
    assert before == after
    assert stored(Metric, run).count() == 50
    assert stored(Param, run).count() == 1


def test_a_point_given_twice_in_one_batch_is_stored_once(fraud, run):
    fraud.ok("runs/log-batch", run_id=run, metrics=[metric(), metric(), metric()])
    assert fraud.history(run, "loss") == [(1, 0, 0.5)]


def test_a_point_by_itself_and_in_a_batch_is_one_point(fraud, run):
    fraud.ok("runs/log-metric", run_id=run, **metric(value=1))
    fraud.ok("runs/log-batch", run_id=run, metrics=[metric(value=1.0)])
    assert stored(Metric, run).count() == 1


def test_the_same_point_in_two_runs_is_two_points(fraud, run):
    other = fraud.run()
    for each in (run, other):
        fraud.ok("runs/log-metric", run_id=each, **metric())
    assert fraud.history(run, "loss") == fraud.history(other, "loss")


# Batches


def test_a_batch_takes_one_statement(fraud, run):
    response = fraud.post(
        "runs/log-batch",
        run_id=run,
        metrics=[metric(f"m{i}") for i in range(100)],
        params=[{"key": f"p{i}", "value": "1"} for i in range(50)],
        tags=[{"key": f"t{i}", "value": "1"} for i in range(20)],
    )
    assert (response.status_code, statements(response)) == (200, 1)
    found = fraud.run_of(run)
    assert len(found["data"]["metrics"]) == 100
    assert len(found["data"]["params"]) == 50
    assert len(found["data"]["tags"]) == 21  # with the run's name


def test_an_empty_batch_changes_nothing(fraud, run):
    assert fraud.ok("runs/log-batch", run_id=run) == {}
    assert fraud.ok("runs/log-batch", run_id=run, metrics=[], params=None) == {}


def test_ten_thousand_points_of_one_key_are_kept(fraud, run):
    steps = list(range(10_000))
    random.Random(1).shuffle(steps)
    for start in range(0, 10_000, 1000):
        batch = [metric(step=s, timestamp=s) for s in steps[start : start + 1000]]
        fraud.ok("runs/log-batch", run_id=run, metrics=batch)
    assert fraud.history(run, "loss") == [(step, step, 0.5) for step in range(10_000)]
    assert fraud.run_of(run)["data"]["metrics"] == [metric(step=9999, timestamp=9999)]


def test_a_batch_of_a_thousand_names_is_kept(fraud, run):
    batch = [metric(f"m{i}", value=i) for i in range(1000)]
    fraud.ok("runs/log-batch", run_id=run, metrics=batch)
    assert data_of(fraud.run_of(run), "metrics") == {f"m{i}": i for i in range(1000)}


LIMITS = [
    ("metrics", {"metrics": [metric()] * 1001}, 1000, 1001),
    ("params", {"params": [{"key": "a", "value": "1"}] * 101}, 100, 101),
    ("tags", {"tags": [{"key": "a", "value": "1"}] * 101}, 100, 101),
    (
        "metrics, params, and tags",
        {
            "metrics": [metric()] * 950,
            "params": [{"key": str(i), "value": "1"} for i in range(51)],
        },
        1000,
        1001,
    ),
]


@pytest.mark.parametrize("noun,body,limit,count", LIMITS, ids=[x[0] for x in LIMITS])
def test_a_batch_over_its_limit_is_refused(fraud, run, noun, body, limit, count):
    assert error(fraud.post("runs/log-batch", run_id=run, **body)) == invalid(
        f"A batch logging request can contain at most {limit} {noun}. Got {count} "
        f"{noun}. Please split up {noun} across multiple requests and try again."
    )
    assert not stored(Metric, run).exists()


def test_a_batch_over_its_limit_is_told_first_what_is_wrong_in_it(fraud, run):
    tags = [{"key": f"t{i}"} for i in range(101)]
    response = fraud.post("runs/log-batch", run_id=run, tags=[*tags, {"key": "t%"}])
    assert "parameter 'tags[101].key'" in error(response)[2]


def test_a_batch_at_its_limits_is_kept(fraud, run):
    fraud.ok(
        "runs/log-batch",
        run_id=run,
        metrics=[metric(step=i) for i in range(800)],
        params=[{"key": f"p{i}", "value": "1"} for i in range(100)],
        tags=[{"key": f"t{i}", "value": "1"} for i in range(100)],
    )
    assert stored(Metric, run).count() == 800


def test_a_batch_of_more_than_a_megabyte_is_refused(fraud, run):
    tags = [{"key": "t", "value": "v" * 1_000_000}]
    response = fraud.post("runs/log-batch", run_id=run, tags=tags)
    status, code, message = error(response)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    size = len(json.dumps({"run_id": run, "tags": tags}))
    assert message == (
        "Batched logging API requests must be at most 1000000 bytes, got a request of "
        f"size {size}."
    )


def test_a_batch_of_exactly_a_megabyte_is_kept(fraud, run):
    body = orjson.dumps({"run_id": run, "tags": [{"key": "t", "value": ""}]})
    body = body.replace(b'""', b'"%b"' % (b"v" * (1_000_000 - len(body))))
    assert len(body) == 1_000_000
    assert fraud.send("runs/log-batch", body).status_code == 200


WRONG_BATCHES = [
    ("a metric without key", {"metrics": [{"value": 1}]}, missing("metrics[0].key")),
    (
        "a metric without value",
        {"metrics": [metric(), {"key": "a", "timestamp": 1}]},
        missing("metrics[1].value"),
    ),
    (
        "a metric without timestamp",
        {"metrics": [{"key": "a", "value": 1}]},
        missing("metrics[0].timestamp"),
    ),
    ("a param without key", {"params": [{"value": "1"}]}, missing("params[0].key")),
    ("a tag without key", {"tags": [{"key": ""}]}, missing("tags[0].key")),
    (
        "a metric without value behind one with a bad name",
        {"metrics": [metric("m%"), {"key": "a", "value": "", "timestamp": 1}]},
        missing("metrics[1].value"),
    ),
    (
        "a tag without key behind a metric with a bad name",
        {"metrics": [metric("m%")], "tags": [{"value": "1"}]},
        missing("tags[0].key"),
    ),
    (
        "a tag with a bad name behind a param that is given twice",
        {"params": [{"key": "p"}, {"key": "p"}], "tags": [{"key": "../t"}]},
        invalid(
            "Invalid value \"../t\" for parameter 'tags[0].key' supplied: Names may be "
            "treated as files in certain cases, and must not resolve to other names "
            "when treated as such. This name would resolve to '../t'"
        ),
    ),
    (
        "a metric with a bad name",
        {"metrics": [metric("m%")]},
        invalid(
            "Invalid value \"m%\" for parameter 'metrics[0].name' supplied: Names may "
            "only contain alphanumerics, underscores (_), dashes (-), periods (.), "
            "spaces ( ), colon(:) and slashes (/)."
        ),
    ),
    (
        "a metric with a negative time",
        {"metrics": [metric("m", 1, -1)]},
        invalid(
            "Invalid value -1 for parameter 'metrics[0].timestamp' supplied: metric "
            "'m' (value=1.0). Timestamp must be a nonnegative long (64-bit integer) "
        ),
    ),
    (
        "a metric whose step is no number",
        {"metrics": [metric("m", 1, 1, "x")]},
        invalid(
            "Invalid value \"x\" for parameter 'metrics[0].step' supplied: metric 'm' "
            "(value=1.0). Step must be a valid long (64-bit integer)."
        ),
    ),
    (
        "a metric whose value is no number",
        {"metrics": [metric("m", "x", 1)]},
        invalid(
            "Invalid value \"x\" for parameter 'metrics[0].value' supplied: "
            "(timestamp=1). Please specify value as a valid double (64-bit floating "
            "point)"
        ),
    ),
    (
        "metrics that are no list",
        {"metrics": "m"},
        mistyped('"m"', "metrics", "str"),
    ),
    (
        "a metric that is no object",
        {"metrics": ["m"]},
        mistyped('"m"', "metrics[0]", "str"),
    ),
    (
        "a long metric key",
        {"metrics": [metric("k" * 251)]},
        invalid("'Metric name' exceeds the maximum length of 250 characters"),
    ),
    (
        "a long param key",
        {"params": [{"key": "k" * 251, "value": "1"}]},
        invalid("'Param key' exceeds the maximum length of 250 characters"),
    ),
    (
        "a long tag key",
        {"tags": [{"key": "k" * 251, "value": "1"}]},
        invalid("'tags[0].key' exceeds the maximum length of 250 characters"),
    ),
    (
        "a param twice",
        {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "1"}]},
        invalid(
            "Duplicate parameter keys have been submitted: ['a']. Please ensure the "
            "request contains only one param value per param key."
        ),
    ),
]


@pytest.mark.parametrize(
    "_case,change,expected", WRONG_BATCHES, ids=[case for case, *_ in WRONG_BATCHES]
)
def test_a_wrong_batch_is_refused_and_stores_nothing(
    fraud, run, _case, change, expected
):
    good = {
        "metrics": [metric("good")],
        "params": [{"key": "good", "value": "1"}],
        "tags": [{"key": "good", "value": "1"}],
    }
    response = fraud.post("runs/log-batch", run_id=run, **{**good, **change})
    assert error(response) == expected
    assert "good" not in {
        each["key"] for kind in fraud.run_of(run)["data"].values() for each in kind
    }


@pytest.mark.parametrize("value", [5, True, ["x"], {"a": 1}])
@pytest.mark.parametrize("noun", ["params", "tags"])
def test_a_text_that_is_none_is_refused(fraud, run, noun, value):
    body = {noun: [{"key": "a", "value": value}]}
    status, code, message = error(fraud.post("runs/log-batch", run_id=run, **body))
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert f"'{noun}[0].value'" in message


# Params


def test_a_param_may_be_repeated_but_not_changed(fraud, run):
    for _ in range(2):
        fraud.ok("runs/log-parameter", run_id=run, key="p", value="1")
    response = fraud.post("runs/log-parameter", run_id=run, key="p", value="2")
    assert error(response) == invalid(
        "Changing param values is not allowed. Param with key='p' was already logged "
        f"with value='1' for run ID='{run}'. Attempted logging new value '2'."
    )
    assert data_of(fraud.run_of(run), "params") == {"p": "1"}


def test_a_batch_with_a_changed_param_stores_nothing_at_all(fraud, run):
    fraud.ok("runs/log-parameter", run_id=run, key="p", value="1")
    before = fraud.run_of(run)
    response = fraud.post(
        "runs/log-batch",
        run_id=run,
        metrics=[metric()],
        params=[{"key": "a", "value": "new"}, {"key": "p", "value": "9"}],
        tags=[{"key": "t", "value": "new"}, {"key": "mlflow.runName", "value": "new"}],
    )
    assert error(response) == invalid(
        "Changing param values is not allowed. Params were already logged="
        "'[{'key': 'p', 'old_value': '1', 'new_value': '9'}]' "
        f"for run ID='{run}'."
    )
    assert fraud.run_of(run) == before
    assert not stored(Metric, run).exists()


def test_a_param_without_value_is_empty(fraud, run):
    fraud.ok("runs/log-parameter", run_id=run, key="p")
    fraud.ok("runs/log-batch", run_id=run, params=[{"key": "q"}])
    assert data_of(fraud.run_of(run), "params") == {"p": "", "q": ""}


def test_a_long_param_is_cut_and_may_be_repeated(fraud, run):
    for _ in range(2):
        fraud.ok("runs/log-parameter", run_id=run, key="p", value="ü" * 6001)
        fraud.ok(
            "runs/log-batch", run_id=run, params=[{"key": "q", "value": "v" * 7000}]
        )
    found = data_of(fraud.run_of(run), "params")
    assert found == {"p": "ü" * 6000, "q": "v" * 6000}


def test_a_param_takes_one_statement(fraud, run):
    response = fraud.post("runs/log-parameter", run_id=run, key="p", value="1")
    assert statements(response) == 1


# Tags


def test_a_tag_is_replaced(fraud, run):
    assert statements(fraud.post("runs/set-tag", run_id=run, key="t", value="1")) == 1
    fraud.ok("runs/set-tag", run_id=run, key="t", value="2")
    assert data_of(fraud.run_of(run), "tags")["t"] == "2"


def test_the_last_of_equal_tag_keys_wins(fraud, run):
    tags = [{"key": "t", "value": "1"}, {"key": "t", "value": "2"}]
    fraud.ok("runs/log-batch", run_id=run, tags=tags)
    assert data_of(fraud.run_of(run), "tags")["t"] == "2"


def test_a_long_tag_is_cut(fraud, run):
    fraud.ok("runs/set-tag", run_id=run, key="a", value="v" * 8001)
    fraud.ok("runs/set-tag", run_id=run, key="b", value="v" * 8000)
    found = data_of(fraud.run_of(run), "tags")
    assert (len(found["a"]), len(found["b"])) == (8000, 8000)


@pytest.mark.parametrize("how", ["runs/set-tag", "runs/log-batch"])
def test_the_tag_of_the_name_renames_the_run(fraud, run, how):
    tag = {"key": "mlflow.runName", "value": "Größe"}
    fraud.ok(how, run_id=run, **(tag if how == "runs/set-tag" else {"tags": [tag]}))
    found = fraud.run_of(run)
    assert found["info"]["run_name"] == "Größe"
    assert data_of(found, "tags") == {"mlflow.runName": "Größe"}


@pytest.mark.parametrize("how", ["runs/set-tag", "runs/log-batch"])
def test_an_empty_name_in_the_tag_changes_nothing(fraud, run, how):
    before = fraud.run_of(run)
    tag = {"key": "mlflow.runName", "value": ""}
    fraud.ok(how, run_id=run, **(tag if how == "runs/set-tag" else {"tags": [tag]}))
    assert fraud.run_of(run) == before


# Who may log where


HOT_WRITES = [
    ("runs/log-metric", metric()),
    ("runs/log-batch", {"metrics": [metric()]}),
    ("runs/log-parameter", {"key": "p", "value": "1"}),
    ("runs/set-tag", {"key": "t", "value": "1"}),
    ("runs/update", {"status": "FINISHED"}),
]


@pytest.mark.parametrize("path,body", HOT_WRITES)
def test_a_foreign_run_is_absent_for_mallory(
    fraud, run, stranger_in_fraud, churn, path, body
):
    absent_id = "0" * 32
    for other in (stranger_in_fraud, churn):
        foreign = other.post(path, run_id=run, **body)
        unknown = other.post(path, run_id=absent_id, **body)
        assert error(foreign) == absent(f"Run with id={run} not found")
        assert foreign.content == unknown.content.replace(
            absent_id.encode(), run.encode()
        )
    assert not stored(Metric, run).exists()
    assert stored(RunTag, run).count() == 1
    assert stored_run(run).status == "RUNNING"


@pytest.mark.parametrize("path,body", HOT_WRITES)
@pytest.mark.parametrize(
    "run_id", ["nope", "", "0" * 31, "0" * 33, "A" * 32, "g" * 32, "x" * 1000, "é" * 32]
)
def test_what_is_no_run_id_is_absent_too(fraud, path, body, run_id):
    response = fraud.post(path, run_id=run_id, **body)
    if not run_id:
        assert error(response) == missing("run_id")
    else:
        shown = run_id if len(run_id) <= 250 else run_id[:250] + "…"
        assert error(response) == absent(f"Run with id={shown} not found")


@pytest.mark.parametrize("path,body", HOT_WRITES)
def test_a_deleted_run_takes_nothing(fraud, run, path, body):
    fraud.ok("runs/delete", run_id=run)
    assert error(fraud.post(path, run_id=run, **body)) == invalid(
        f"The run {run} must be in the 'active' state. Current state is deleted."
    )


@pytest.mark.parametrize("path,body", HOT_WRITES)
def test_a_reader_may_not_log(run, reader, path, body):
    assert error(reader.post(path, run_id=run, **body)) == (
        403,
        "PERMISSION_DENIED",
        "Your role lacks the permission tracking:write.",
    )


@pytest.mark.parametrize("path,body", HOT_WRITES)
def test_a_token_to_read_may_not_log(cast, run, path, body):
    holder = tracking_as(cast.alice, cast.fraud, permissions=("tracking:read",))
    assert error(holder.post(path, run_id=run, **body)) == (
        403,
        "PERMISSION_DENIED",
        "This token lacks the permission tracking:write.",
    )


# Locks


def test_two_batches_of_one_run_do_not_lock_each_other_out(committed):
    client, run_id = committed, committed.run()
    names = [f"m{i}" for i in range(60)]
    answers = []

    def log(names, offset):
        for step in range(15):
            batch = [metric(name, step=step + offset) for name in names]
            answers.append(client.post("runs/log-batch", run_id=run_id, metrics=batch))
        connection.close()

    writers = [
        threading.Thread(target=log, args=(names, 0)),
        threading.Thread(target=log, args=(names[::-1], 1000)),
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {answer.status_code for answer in answers} == {200}
    assert stored(Metric, run_id).count() == 2 * 15 * 60
    assert set(stored(LatestMetric, run_id).values_list("step", flat=True)) == {1014}


def test_a_lock_held_elsewhere_answers_503(committed):
    client, run_id = committed, committed.run()
    client.ok("runs/log-metric", run_id=run_id, **metric())
    held, release = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            stored(LatestMetric, run_id).update(value=1)
            held.set()
            release.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    try:
        response = client.post("runs/log-metric", run_id=run_id, **metric(step=1))
    finally:
        release.set()
        holder.join()
    assert error(response)[:2] == (503, "TEMPORARILY_UNAVAILABLE")
    assert response.headers["Retry-After"] == "1"
    assert stored(Metric, run_id).count() == 1

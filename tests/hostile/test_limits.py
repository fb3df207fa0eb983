"""Sizes and counts (G1 to G3, G6, G7, G16): the boundary is kept, more is refused."""

from __future__ import annotations

import time

import pytest

from registry.tests.protocol import Tracking, error
from tests.hostile.test_heads import PROJECT, rest_error

RUN = "0" * 32
MEGABYTE = "x" * 1024**2
CONTROLS = ["a\nb", "a\tb", "a\x7fb", "a\x85b", "\x1b[31m", "a\rb"]


@pytest.fixture
def fraud(alice_in_fraud) -> Tracking:
    return Tracking(alice_in_fraud)


def tags(count: int, key: str = "k", value: str = "v") -> list[dict[str, str]]:
    return [{"key": f"{key}{number}", "value": value} for number in range(count)]


def points(count: int) -> list[dict[str, object]]:
    return [
        {"key": "m", "value": 0.5, "timestamp": 1, "step": step}
        for step in range(count)
    ]


# Path, body with one hole, the longest text that fits, what becomes of one more.
TEXTS = [
    ("experiments/create", {"name": "…"}, 500, "refused"),
    ("runs/create", {"experiment_id": "0", "run_name": "…"}, 500, "refused"),
    ("runs/create", {"experiment_id": "0", "user_id": "…"}, 256, "refused"),
    ("runs/set-tag", {"run_id": RUN, "key": "…", "value": "v"}, 250, "refused"),
    ("runs/set-tag", {"run_id": RUN, "key": "k", "value": "…"}, 8000, "cut"),
    ("runs/log-parameter", {"run_id": RUN, "key": "…", "value": "v"}, 250, "refused"),
    ("runs/log-parameter", {"run_id": RUN, "key": "k", "value": "…"}, 6000, "cut"),
    (
        "runs/log-metric",
        {"run_id": RUN, "key": "…", "value": 1, "timestamp": 1},
        250,
        "refused",
    ),
    (
        "experiments/set-experiment-tag",
        {"experiment_id": "0", "key": "…", "value": "v"},
        250,
        "refused",
    ),
    (
        "experiments/set-experiment-tag",
        {"experiment_id": "0", "key": "k", "value": "…"},
        20_000,
        "refused",
    ),
]


def filled(body, text, run):
    return {
        name: {"…": text, RUN: run}.get(value, value) if type(value) is str else value
        for name, value in body.items()
    }


@pytest.mark.parametrize("path,body,limit,beyond", TEXTS)
@pytest.mark.parametrize("letter", ["x", "模"])
def test_a_text_is_taken_up_to_its_limit(fraud, path, body, limit, beyond, letter):
    run = fraud.run()
    fits = fraud.post(path, **filled(body, letter * limit, run))
    assert fits.status_code == 200, fits.content[:300]
    more = fraud.post(path, **filled(body, letter * (limit + 1), run))
    if beyond == "cut":
        # A param that is cut is the param that was there: its value has not changed.
        assert more.status_code == 200
    else:
        status, code, message = error(more)
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
        assert str(limit) in message
        assert len(message) < 1000


@pytest.mark.parametrize("path,body,limit,beyond", TEXTS)
def test_a_text_of_a_megabyte_is_refused_or_cut_and_not_repeated(
    fraud, path, body, limit, beyond
):
    response = fraud.post(path, **filled(body, MEGABYTE, fraud.run()))
    if beyond == "cut":
        assert response.status_code == 200
    else:
        assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert len(response.content) < 2000


@pytest.mark.parametrize("text", CONTROLS)
@pytest.mark.parametrize(
    "path,body",
    [
        ("experiments/create", {"name": "…"}),
        ("experiments/update", {"experiment_id": "0", "new_name": "…"}),
        ("runs/create", {"experiment_id": "0", "run_name": "…"}),
        ("runs/update", {"run_id": RUN, "run_name": "…"}),
        ("runs/set-tag", {"run_id": RUN, "key": "…", "value": "v"}),
        ("runs/set-tag", {"run_id": RUN, "key": "mlflow.runName", "value": "…"}),
    ],
)
def test_a_name_holds_no_control_characters(fraud, path, body, text):
    response = fraud.post(path, **filled(body, text, fraud.run()))
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


BATCHES = [
    ("metrics", points(1000), points(1001)),
    ("params", tags(100), tags(101)),
    ("tags", tags(100), tags(101)),
]


@pytest.mark.parametrize("noun,most,more", BATCHES)
def test_a_batch_is_taken_up_to_its_limit_and_all_or_nothing(fraud, noun, most, more):
    run = fraud.run()
    other = {"tags": tags(1, key="with")} if noun != "tags" else {"params": tags(1)}
    refused = fraud.post("runs/log-batch", run_id=run, **{noun: more}, **other)
    assert error(refused)[:2] == (400, "INVALID_PARAMETER_VALUE")
    kept = fraud.run_of(run)["data"]
    assert not kept.get("metrics")
    assert not kept.get("params")
    assert not [tag for tag in kept.get("tags", []) if tag["key"].startswith("with")]
    assert fraud.post("runs/log-batch", run_id=run, **{noun: most}).status_code == 200


def test_a_batch_has_at_most_a_thousand_members_in_all(fraud):
    run = fraud.run()
    whole = {"metrics": points(900), "params": tags(50), "tags": tags(50)}
    assert fraud.post("runs/log-batch", run_id=run, **whole).status_code == 200
    whole["params"] = tags(51)
    assert error(fraud.post("runs/log-batch", run_id=run, **whole))[0] == 400


# Searches


@pytest.mark.parametrize(
    "count", [0, -1, 50_001, 2**63, -(2**63) - 1, "1e3", 1.5, True]
)
@pytest.mark.parametrize(
    "path,more",
    [
        ("runs/search", {"experiment_ids": ["0"]}),
        ("experiments/search", {}),
        ("logged-models/search", {"experiment_ids": ["0"]}),
    ],
)
def test_a_page_has_a_size(fraud, path, more, count):
    response = fraud.post(path, max_results=count, **more)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert "max_results" in error(response)[2]


FILTERS = [
    "a = 'b'" + " AND a = 'b'" * 10_000,
    "params.`" + "`" * 10_000,
    "name LIKE '" + "%a" * 50_000,
    "'" * 100_000,
    "(" * 100_000,
    "x" * 1024**2,
    "name = 'a' OR 1=1; --",
    "\\" * 100_000,
]


@pytest.mark.parametrize("text", FILTERS, ids=lambda text: text[:12])
@pytest.mark.parametrize("path", ["runs/search", "experiments/search"])
def test_a_hostile_filter_is_refused_at_once(fraud, path, text):
    more = {"experiment_ids": ["0"]} if path == "runs/search" else {"max_results": 1}
    start = time.process_time()
    response = fraud.post(path, filter=text, **more)
    assert time.process_time() - start < 0.25
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    "order",
    [
        ["name"] * 1000,
        ["x" * 1024**2],
        ["name ASC; DROP TABLE runs"],
        [" " * 100_000 + "name"],
        ["`" * 10_000],
        ["organization_id"],
        ["deleted_by ASC"],
        [""],
    ],
    ids=lambda order: order[0][:12],
)
@pytest.mark.parametrize("path", ["runs/search", "experiments/search"])
def test_a_hostile_order_is_refused_at_once(fraud, path, order):
    start = time.process_time()
    response = fraud.post(path, order_by=order, max_results=1)
    assert time.process_time() - start < 0.25
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert len(response.content) < 1000


def test_a_search_names_at_most_ten_thousand_experiments(fraud):
    many = [str(number) for number in range(10_001)]
    response = fraud.post("runs/search", experiment_ids=many)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert fraud.post("runs/search", experiment_ids=many[1:]).status_code == 200


# Moments

TIMES = [-(2**63), -1, 0, 1, 253_402_300_800_000, 10**15, 2**63 - 1]


@pytest.mark.parametrize("moment", TIMES)
def test_any_int64_is_a_start_and_no_reader_stumbles(fraud, alice, moment):
    run = fraud.run(start_time=moment)
    fraud.ok("runs/update", run_id=run, status="FINISHED", end_time=moment)
    assert fraud.run_of(run)["info"]["start_time"] in (moment, max(moment, 0))
    assert fraud.ok("runs/search", experiment_ids=["0"])["runs"]
    for address in (f"{PROJECT}runs/", f"{PROJECT}runs/{run}/"):
        assert alice.get(address).status_code == 200


@pytest.mark.parametrize("moment", [2**63, -(2**63) - 1, 1e400, 10**30, "9" * 30])
def test_a_moment_beyond_int64_is_refused(fraud, moment):
    run = fraud.run()
    body = b'{"experiment_id": "0", "start_time": %b}'
    text = b"1e400" if moment == 1e400 else str(moment).encode()
    assert error(fraud.send("runs/create", body % text))[0] == 400
    body = b'{"run_id": "%b", "key": "m", "value": 1, "timestamp": %b}'
    response = fraud.send("runs/log-metric", body % (run.encode(), text))
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("moment", TIMES)
def test_a_metric_has_a_moment_from_zero_on(fraud, moment):
    run = fraud.run()
    point = {"run_id": run, "key": "m", "value": 1, "timestamp": moment}
    assert fraud.post("runs/log-metric", **point).status_code == (
        400 if moment < 0 else 200
    )
    history = fraud.history(run, "m")
    assert [each[0] for each in history] == ([] if moment < 0 else [moment])


# REST

REST_TEXTS = [
    ("experiments/", {"name": "…"}, 500),
    ("models/", {"name": "…"}, 256),
    ("models/", {"name": "m", "description": "…"}, 10_000),
    ("models/", {"name": "m", "tags": {"k": "…"}}, 100_000),
    ("deployments/", {"name": "…"}, 200),
    ("deployments/", {"name": "d", "environment": "…"}, 63),
    ("alert-rules/", {"name": "…", "threshold": 1, "metric_name": "m"}, 200),
    ("alert-rules/", {"name": "r", "threshold": 1, "metric_name": "…"}, 250),
]


@pytest.mark.parametrize("path,body,limit", REST_TEXTS)
def test_a_text_of_rest_is_taken_up_to_its_limit(alice, path, body, limit):
    def post(text):
        whole = {
            name: dict.fromkeys(value, text) if type(value) is dict else value
            for name, value in body.items()
        }
        whole = {n: text if value == "…" else value for n, value in whole.items()}
        return alice.post(PROJECT + path, whole, content_type="application/json")

    refused = post("é" * (limit + 1))
    assert rest_error(refused)[:2] == (400, "invalid_input")
    assert len(refused.content) < 2000
    assert rest_error(post(MEGABYTE))[:2] == (400, "invalid_input")
    assert post("é" * limit).status_code == 201


@pytest.mark.parametrize("limit", ["0", "-1", "201", str(2**63), "1e1", "", "x", "１"])
def test_a_page_of_rest_has_a_size(alice, limit):
    for path in ("runs/", "models/", "alerts/", "members/"):
        status, code, message = rest_error(alice.get(f"{PROJECT}{path}?limit={limit}"))
        assert (status, code) == (400, "invalid_input")
        assert "limit" in message


def test_a_hundred_tags_at_once_and_no_more(alice):
    def post(count):
        tags = {f"k{number}": "v" for number in range(count)}
        body = {"name": f"m{count}", "tags": tags}
        return alice.post(PROJECT + "models/", body, content_type="application/json")

    assert post(101).status_code == 400
    assert post(100).status_code == 201


def test_metadata_is_taken_up_to_its_limit(alice):
    def post(size):
        body = {"name": f"d{size}", "metadata": {"a": "x" * (size - len('{"a": ""}'))}}
        return alice.post(
            PROJECT + "deployments/", body, content_type="application/json"
        )

    assert post(64 * 1024 + 1).status_code == 400
    assert post(64 * 1024).status_code == 201

from __future__ import annotations

import itertools

import pytest

from registry.tests.protocol import (
    absent,
    error,
    invalid,
    missing,
    mistyped,
    points,
    statements,
)

MAX = 1.7976931348623157e308


def log(tracking, run, *logged, key="loss"):
    metrics = [
        {"key": key, "timestamp": timestamp, "step": step, "value": value}
        for timestamp, step, value in logged
    ]
    tracking.ok("runs/log-batch", run_id=run, metrics=metrics)


def pages(tracking, run, size, key="loss"):
    """Read page by page, as the client does; a page is never empty."""
    token = ""
    while True:
        answer = tracking.read(
            "metrics/get-history",
            run_id=run,
            metric_key=key,
            max_results=size,
            page_token=token,
        )
        yield [points(metric) for metric in answer["metrics"]]
        token = answer.get("next_page_token")
        if token is None:
            return
        assert token


@pytest.fixture
def run(fraud):
    return fraud.run()


def test_history_comes_by_time_then_step_then_value(fraud, run):
    logged = list(itertools.product((1, 2, 3), (-1, 0, 7), (-1.5, 0, 2.5)))
    log(fraud, run, *reversed(logged))
    assert fraud.history(run, "loss") == logged


def test_history_holds_one_key_of_one_run(fraud, run):
    other = fraud.run()
    log(fraud, run, (1, 0, 1.0))
    log(fraud, run, (1, 0, 2.0), key="loss2")
    log(fraud, other, (1, 0, 3.0))
    answer = fraud.read("metrics/get-history", run_id=run, metric_key="loss")
    assert answer == {
        "metrics": [{"key": "loss", "value": 1, "timestamp": 1, "step": 0}]
    }


def test_history_of_a_key_without_points_is_empty(fraud, run):
    assert fraud.read("metrics/get-history", run_id=run, metric_key="none") == {}


def test_history_takes_one_statement(fraud, run):
    log(fraud, run, *((i, i, 0.5) for i in range(500)))
    query = {"run_id": run, "metric_key": "loss"}
    assert statements(fraud.get("metrics/get-history", **query)) == 1
    assert statements(fraud.get("metrics/get-history", **query, max_results=100)) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 7, 100])
def test_pages_hold_all_points_once_in_order(fraud, run, size):
    tied = [
        (1, 0, -MAX),
        (1, 0, 0),
        (1, 0, "NaN"),  # for MLflow a 0 with a mark
        (1, 0, 0.1),
        (1, 0, MAX),
        (1, 0, MAX),  # once the largest number, once infinity
        (2, -3, "NaN"),
        (2, 5, 1e-300),
        (2**63 - 1, 2**63 - 1, 1),
    ]
    sent = [*tied[:5], (1, 0, "Infinity"), *tied[6:]]
    log(fraud, run, *reversed(sent))
    found = list(pages(fraud, run, size))
    assert list(itertools.chain(*found)) == tied
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    assert len(found) == -(-len(tied) // size)


def test_a_page_that_holds_all_has_no_next(fraud, run):
    log(fraud, run, *((i, i, 0.5) for i in range(4)))
    answer = fraud.read(
        "metrics/get-history", run_id=run, metric_key="loss", max_results=4
    )
    assert set(answer) == {"metrics"}


@pytest.mark.parametrize("key", ["a/b:c", "損失", "x y.z-1"])
def test_pages_of_any_name_are_cut_between_points(fraud, run, key):
    log(fraud, run, *((i, i, i) for i in range(5)), key=key)
    assert list(pages(fraud, run, 2, key)) == [
        [(0, 0, 0), (1, 1, 1)],
        [(2, 2, 2), (3, 3, 3)],
        [(4, 4, 4)],
    ]


@pytest.mark.parametrize("spelling", ["run_id", "run_uuid"])
def test_the_run_has_two_names(fraud, run, spelling):
    log(fraud, run, (1, 0, 1.0))
    answer = fraud.read("metrics/get-history", **{spelling: run}, metric_key="loss")
    assert len(answer["metrics"]) == 1


REFUSED = [
    ("no run", {"run_id": ""}, missing("run_id")),
    ("no key", {"metric_key": ""}, missing("metric_key")),
    (
        "no results at all",
        {"max_results": "0"},
        invalid(
            "Invalid value 0 for parameter 'max_results' supplied. "
            "It must be a positive integer."
        ),
    ),
    (
        "fewer results than none",
        {"max_results": "-1"},
        invalid(
            "Invalid value -1 for parameter 'max_results' supplied. "
            "It must be a positive integer."
        ),
    ),
    (
        "a size that is no number",
        {"max_results": "x"},
        mistyped('"x"', "max_results", "str"),
    ),
    (
        "an unknown run",
        {"run_id": "0" * 32},
        absent(f"Run with id={'0' * 32} not found"),
    ),
    ("no run id", {"run_id": "nope"}, absent("Run with id=nope not found")),
]


@pytest.mark.parametrize(
    "_case,change,expected", REFUSED, ids=[case for case, *_ in REFUSED]
)
def test_a_wrong_request_is_refused(fraud, run, _case, change, expected):
    query = {"run_id": run, "metric_key": "loss", **change}
    assert error(fraud.get("metrics/get-history", **query)) == expected


def test_a_nul_in_the_address_is_refused(fraud, run):
    response = fraud.get("metrics/get-history", run_id=run, metric_key="a\x00b")
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**63 - 1])
def test_a_page_may_be_of_any_size(fraud, run, size):
    log(fraud, run, (1, 0, 1.0))
    assert fraud.history(run, "loss", max_results=size) == [(1, 0, 1)]


# Tokens


def token_of(tracking, run, key="loss"):
    answer = tracking.read(
        "metrics/get-history", run_id=run, metric_key=key, max_results=1
    )
    return answer["next_page_token"]


def refused(response):
    status, code, message = error(response)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert message.startswith("Invalid page token, could not base64-decode")
    return True


def test_a_token_opens_its_own_history_only(fraud, run):
    other = fraud.run()
    for each in (run, other):
        for key in ("loss", "gain"):
            log(fraud, each, (1, 0, 1.0), (2, 0, 1.0), key=key)
    token = token_of(fraud, run)
    query = {"run_id": run, "metric_key": "loss", "page_token": token}
    assert fraud.get("metrics/get-history", **query).status_code == 200
    for change in ({"run_id": other}, {"metric_key": "gain"}):
        assert refused(fraud.get("metrics/get-history", **{**query, **change}))


@pytest.mark.parametrize("junk", ["junk", "e30=", "é", "a:b:c", "x" * 5000, "eyJ9"])
def test_a_token_of_somebody_else_is_refused(fraud, run, junk):
    query = {"run_id": run, "metric_key": "loss", "page_token": junk}
    assert refused(fraud.get("metrics/get-history", **query))


def test_an_altered_token_is_refused(fraud, run):
    log(fraud, run, (1, 0, 1.0), (2, 0, 1.0))
    token = token_of(fraud, run)
    swapped = ("B" if token[0] == "A" else "A") + token[1:]
    query = {"run_id": run, "metric_key": "loss", "page_token": swapped}
    assert refused(fraud.get("metrics/get-history", **query))


# Who may read


def test_a_foreign_history_is_absent_for_mallory(fraud, run, stranger_in_fraud, churn):
    log(fraud, run, (1, 0, 1.0), (2, 0, 1.0))
    token = token_of(fraud, run)
    for other in (stranger_in_fraud, churn):
        query = {"run_id": run, "metric_key": "loss"}
        expected = absent(f"Run with id={run} not found")
        assert error(other.get("metrics/get-history", **query)) == expected
        query["page_token"] = token
        assert refused(other.get("metrics/get-history", **query))


def test_a_reader_reads_and_a_deleted_run_is_read(fraud, run, reader):
    log(fraud, run, (1, 0, 1.0))
    fraud.ok("runs/delete", run_id=run)
    assert reader.history(run, "loss") == [(1, 0, 1)]

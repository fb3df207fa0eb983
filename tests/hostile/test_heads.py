"""Queries, headers and addresses: the same check of text as in a body."""

from __future__ import annotations

import json

import pytest

from registry.tests.protocol import error
from tests.hostile.places import endpoints
from tests.mounts import every_mount, mounts

PROJECT = "/api/v1/organizations/acme/projects/fraud/"
LISTS = ("runs/", "experiments/", "models/", "packages/", "alerts/", "members/")
FILTERS = {
    "runs/": "name",
    "experiments/": "name",
    "models/": "name",
    "packages/": "name",
    "alerts/": "status",
    "members/": "user",
}
NO_TEXT = ["%00", "a%00b", "%ff", "%c0%ae", "%ed%a0%80", "%C3", "%f5%80%80%80"]
READERS = {
    "runs/get": "run_id",
    "experiments/get": "experiment_id",
    "experiments/get-by-name": "experiment_name",
    "metrics/get-history": "metric_key",
    "artifacts/list": "path",
    "experiments/search": "page_token",
    # Open to everybody, so no middleware answers for it.
    "server-info": "other",
}


def rest_error(response):
    body = json.loads(response.content)
    assert set(body) == {"error"}
    return response.status_code, body["error"]["code"], body["error"]["message"]


@every_mount
def test_a_query_that_is_no_text_is_refused_at_every_mount(
    alice_in_fraud, nothing_stored, mount
):
    for path, name in READERS.items():
        for text in NO_TEXT:
            for query in (f"{name}={text}", f"{text}=x"):
                response = alice_in_fraud.get(
                    f"{mount.url(path)}?{query}", headers=mount.headers
                )
                status, code, message = error(response)
                assert (status, code) == (400, "INVALID_PARAMETER_VALUE"), query
                assert "NUL" in message or "UTF-8" in message


def test_a_query_that_is_no_text_is_refused_by_every_list_of_rest(alice):
    for path in LISTS:
        for text in NO_TEXT:
            for query in (f"{FILTERS[path]}={text}", f"{text}=x", f"cursor={text}"):
                status, code, message = rest_error(
                    alice.get(f"{PROJECT}{path}?{query}")
                )
                assert (status, code) == (400, "invalid_input"), query
                assert "NUL" in message or "UTF-8" in message


@pytest.mark.parametrize("path", ["get-artifact", "api/2.0/mlflow-artifacts/artifacts"])
@pytest.mark.parametrize("text", NO_TEXT)
def test_a_query_that_is_no_text_names_no_file(alice_in_fraud, path, text):
    query = f"run_id={'0' * 32}&path={text}"
    response = alice_in_fraud.get(f"/{path}?{query}")
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_many_parameters_are_refused(alice, alice_in_fraud):
    many = "&".join(f"a{number}=1" for number in range(1001))
    for path in READERS:
        response = alice_in_fraud.get(f"{mounts()[0].url(path)}?{many}")
        assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert "at most 1000" in error(response)[2]
    for path in LISTS:
        assert rest_error(alice.get(f"{PROJECT}{path}?{many}"))[0] == 400


def test_a_hundred_thousand_parameters_do_not_fit_an_address(alice, alice_in_fraud):
    many = "&".join(f"a{number}=1" for number in range(100_000))
    response = alice_in_fraud.get(f"{mounts()[0].url('runs/get')}?{many}")
    assert error(response)[:2] == (414, "BAD_REQUEST")
    assert rest_error(alice.get(f"{PROJECT}runs/?{many}"))[0] == 414


def test_a_repeated_parameter_is_refused_by_rest_and_read_once_by_mlflow(
    alice, alice_in_fraud
):
    for path in LISTS:
        query = f"{FILTERS[path]}=a&{FILTERS[path]}=b"
        status, _code, message = rest_error(alice.get(f"{PROJECT}{path}?{query}"))
        assert (status, "twice" in message) == (400, True)
    query = "experiment_id=0&experiment_id=99"
    response = alice_in_fraud.get(f"{mounts()[0].url('experiments/get')}?{query}")
    assert response.json()["experiment"]["experiment_id"] == "0"


LARGE = ["9223372036854775808", "1" * 30, "1" * 400, "-1", "1e3", "1.5", "0x1", ""]


@pytest.mark.parametrize("number", [*LARGE, "1" * 5000])
@pytest.mark.parametrize(
    "path,name",
    [("runs/", "iid"), ("experiments/", "iid"), ("model-versions/", "version")],
)
def test_a_number_that_no_column_holds_is_refused_by_a_filter(
    alice, path, name, number
):
    status, code, message = rest_error(alice.get(f"{PROJECT}{path}?{name}={number}"))
    assert (status, code) == (400, "invalid_input")
    assert message.startswith(f"{name}=")


def test_the_largest_number_is_one_that_nothing_has(alice):
    response = alice.get(f"{PROJECT}runs/?iid={2**63 - 1}")
    assert response.json() == {"results": [], "next": None}


@pytest.mark.parametrize(
    "moment",
    [
        *("now", "0", "2026", "2026-13-01", "2026-01-01T25:00:00Z", "10000-01-01"),
        *("1000000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "9" * 400),
    ],
)
def test_a_moment_that_is_none_is_refused(alice, moment):
    for path in (f"{PROJECT}alerts/", "/api/v1/organizations/acme/audit-logs/"):
        for name in ("since", "until"):
            assert rest_error(alice.get(f"{path}?{name}={moment}"))[0] == 400


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00%2B14:00",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.999999Z",
    ],
)
def test_the_first_and_the_last_moment_are_moments(alice, moment):
    for path in (f"{PROJECT}alerts/", "/api/v1/organizations/acme/audit-logs/"):
        for name in ("since", "until"):
            response = alice.get(f"{path}?{name}={moment}")
            assert response.status_code in (200, 400), (path, name)


# Headers

ODD = [
    *("", " ", "fraud ", "FRAUD", "fraud\t", "a b", "é", "\xff", "x" * 9000, "a,b"),
    *("../acme", "%66raud", "fraud\x00", "fraud\r\nX-Y: z", "'; --", "{}", "null"),
]


@pytest.mark.parametrize("value", ODD)
def test_an_odd_workspace_is_refused_in_words_of_the_protocol(
    alice_in_fraud, nothing_stored, value
):
    headers = {"x-mlflow-workspace": value}
    for writer in endpoints()[:3]:
        response = alice_in_fraud.post(
            mounts()[0].url(writer.path),
            data=b"{}",
            content_type="application/json",
            headers=headers,
        )
        assert error(response)[0] in (400, 404), value
    response = alice_in_fraud.get(
        f"{mounts()[0].url('experiments/get')}?experiment_id=0", headers=headers
    )
    assert error(response)[0] == (400 if "\x00" in value else 404)


@pytest.mark.parametrize("value", ODD)
def test_an_odd_request_id_is_not_repeated(alice_in_fraud, value):
    response = alice_in_fraud.get(
        f"{mounts()[0].url('experiments/get')}?experiment_id=0",
        headers={"x-request-id": value},
    )
    assert response.status_code == 200
    answered = response.headers["X-Request-Id"]
    assert answered.isascii()
    assert answered.isprintable()
    assert 0 < len(answered) <= 64
    assert "X-Y" not in response.headers


@pytest.mark.parametrize(
    "name", ["accept", "accept-language", "if-none-match", "range", "cookie", "x-other"]
)
@pytest.mark.parametrize("value", ["x" * 9000, "\xff\xfe", "é", ",,;;==", "a" * 1000])
def test_an_odd_header_changes_nothing(alice, alice_in_fraud, name, value):
    headers = {name: value}
    url = f"{mounts()[0].url('experiments/get')}?experiment_id=0"
    assert alice_in_fraud.get(url, headers=headers).status_code == 200
    assert alice.get(f"{PROJECT}runs/", headers=headers).status_code == 200

"""No hostile body reaches a view, at any mount, in any skin; nothing is stored."""

from __future__ import annotations

import json

import pytest

from registry.mlflow.rules import MAX_BATCH_BYTES
from registry.models import LoggedModel, Run
from registry.tests.factories import LoggedModelFactory
from registry.tests.protocol import Tracking, error
from tests.hostile.corpus import FORM_TYPES, ROWS, every_row
from tests.hostile.places import endpoints, rest_writers, sent
from tests.mounts import every_mount, mounts

JSON_TYPE = "application/json"
# One that admits by itself, one that the middleware admits, one with lists inside.
EXAMPLES = {
    "runs/set-tag": {"run_id": "0" * 32, "key": "k", "value": "v"},
    "experiments/create": {"name": "n"},
    "runs/log-batch": {"run_id": "0" * 32, "metrics": [], "params": [], "tags": []},
}


def refused_by_mlflow(response, case):
    status, code, message = error(response)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE"), f"{case}: {message}"
    assert response.headers["Content-Type"] == JSON_TYPE
    assert len(message) > 20, f"{case}: {message!r} says nothing"


def refused_by_rest(response, case, status=400):
    body = json.loads(response.content)
    assert response.status_code == status, f"{case}: {body}"
    assert response.headers["Content-Type"] == JSON_TYPE
    assert set(body) == {"error"}
    assert len(body["error"]["message"]) > 15, f"{case}: {body} says nothing"


# MLflow's protocol


@every_mount
def test_a_hostile_body_is_refused_at_every_mount(
    alice_in_fraud, nothing_stored, mount
):
    for path, body in EXAMPLES.items():
        for row in ROWS:
            response = alice_in_fraud.post(
                mount.url(path),
                data=row.spoil(body),
                content_type=JSON_TYPE,
                headers=mount.headers,
            )
            refused_by_mlflow(response, f"{row} to {path}")


@every_row
def test_a_hostile_body_is_refused_by_every_endpoint(
    alice_in_fraud, nothing_stored, row
):
    for writer in endpoints():
        response = alice_in_fraud.post(
            mounts()[0].url(writer.path),
            data=row.spoil({"run_id": "0" * 32}),
            content_type=JSON_TYPE,
        )
        refused_by_mlflow(response, f"{row} to {writer}")


@pytest.fixture
def logged_model(cast) -> LoggedModel:
    return LoggedModelFactory(experiment__project=cast.fraud)


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_body_without_members_is_refused_by_what_needs_some(
    alice_in_fraud, logged_model, nothing_stored, body
):
    for writer in endpoints(f"m-{logged_model.pk.hex}"):
        response = alice_in_fraud.post(
            mounts()[0].url(writer.path),
            data=body,
            content_type=JSON_TYPE,
            headers={"content-type": JSON_TYPE},  # left out with an empty body
        )
        if writer.takes_nothing:
            # 404: there is no evaluation dataset of the id in the path.
            assert response.status_code in (200, 404), error(response)
        else:
            refused_by_mlflow(response, writer)


@every_mount
def test_a_body_that_a_form_could_send_is_refused_in_mlflows_words(
    alice_in_fraud, nothing_stored, mount
):
    for path, body in EXAMPLES.items():
        for kind in FORM_TYPES:
            response = alice_in_fraud.generic(
                "POST",
                mount.url(path),
                json.dumps(body).encode(),
                kind,
                headers=mount.headers,
            )
            wrong = "must be one of ['application/json']"
            said = f"Content-Type {wrong if kind else 'header is missing'}."
            expected = (400, "INVALID_PARAMETER_VALUE", f"Bad Request. {said}")
            assert error(response) == expected, kind


def test_a_body_over_the_limit_of_its_endpoint_is_refused_unread(
    alice_in_fraud, nothing_stored
):
    for writer in endpoints():
        body = b'{"padding": "' + b"x" * writer.limit + b'"}'
        response = alice_in_fraud.post(
            mounts()[0].url(writer.path), data=body, content_type=JSON_TYPE
        )
        status = 400 if writer.limit == MAX_BATCH_BYTES else 413
        assert response.status_code == status, writer
        assert str(writer.limit) in error(response)[2]


def test_a_metric_whose_name_is_a_list_is_refused_behind_one_that_is_none(
    alice_in_fraud,
):
    fraud = Tracking(alice_in_fraud)
    good = {"key": "m", "value": 0.5, "timestamp": 1, "step": 0}
    metrics = [good, {**good, "key": []}]
    response = fraud.post("runs/log-batch", run_id=fraud.run(), metrics=metrics)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert "metrics[1].key" in error(response)[2]


# REST


def test_a_hostile_body_is_refused_by_every_route_of_rest(world, nothing_stored):
    for number, writer in enumerate(rest_writers(world)):
        # One parser reads them all: each route gets some rows, each row many routes.
        for row in ROWS[number % 5 :: 5]:
            response = sent(world.callers["owner"], writer, row.spoil({}))
            refused_by_rest(response, f"{row} to {writer}")


def test_a_body_that_a_form_could_send_is_none_of_rest(world, nothing_stored):
    for writer in rest_writers(world):
        for kind in FORM_TYPES[:4]:
            response = sent(
                world.callers["owner"], writer, b'{"name": "x"}', content_type=kind
            )
            refused_by_rest(response, f"{kind} to {writer}", 415)


def test_a_packed_body_is_none_of_rest(world, nothing_stored):
    for writer in rest_writers(world):
        for encoding in ("gzip", "deflate", "br", "identity, gzip"):
            response = sent(
                world.callers["owner"],
                writer,
                b"\x1f\x8b",
                headers={"content-encoding": encoding},
            )
            refused_by_rest(response, f"{encoding} to {writer}", 415)


def test_a_body_of_three_megabytes_is_too_large_for_rest(world, nothing_stored):
    body = b'{"name": "' + b"x" * 3 * 1024**2 + b'"}'
    for writer in rest_writers(world):
        response = sent(world.callers["owner"], writer, body)
        refused_by_rest(response, writer, 413)


def test_a_body_in_pieces_is_refused_as_it_would_count_as_none(
    world, alice_in_fraud, nothing_stored
):
    pieces = {"transfer-encoding": "chunked"}
    for writer in rest_writers(world):
        response = sent(world.callers["owner"], writer, b"{}", headers=pieces)
        refused_by_rest(response, writer, 411)
    for path in EXAMPLES:
        response = alice_in_fraud.post(
            mounts()[0].url(path), data=b"{}", content_type=JSON_TYPE, headers=pieces
        )
        assert error(response)[:2] == (411, "BAD_REQUEST")


def test_the_routes_of_rest_that_read_a_body_are_found(world):
    found = {str(writer) for writer in rest_writers(world)}
    project = "/api/v1/organizations/acme/projects/fraud"
    assert f"POST {project}/experiments/" in found
    assert f"PATCH {project}/runs/{world.own[Run]}/" in found
    assert not [path for path in found if "{" in path or "//" in path]
    assert len(found) > 25


@every_row
def test_a_hostile_body_makes_no_workspace(alice, nothing_stored, row):
    """Of an organization: a token of one project may not even ask."""
    response = alice.post(
        "/api/3.0/mlflow/workspaces",
        data=row.spoil({"name": "next"}),
        content_type=JSON_TYPE,
    )
    refused_by_mlflow(response, row)

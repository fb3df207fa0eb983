from __future__ import annotations

import logging

import pytest

from audit.models import AuditLog
from conftest import client_of
from mlops import throttles
from mlops.env import Rate
from tenants.authentication import make_token
from tenants.models import ApiToken
from tenants.tests.factories import make_api_token

LEAKS = "/api/v1/token-leaks/"
ACME = "/api/v1/organizations/acme/"
JSON = {"content_type": "application/json"}


@pytest.fixture(autouse=True)
def many(settings):
    settings.THROTTLES = settings.THROTTLES | {"token_leak": Rate(1.0, 100)}
    throttles._refused.clear()
    yield
    throttles._refused.clear()


def report(client, text: str):
    return client.post(LEAKS, {"token": text}, **JSON)


def test_a_reported_token_is_dead_from_the_next_request(stranger, cast, caplog):
    token = make_api_token(cast.bob, cast.acme)
    assert client_of(token.text).get(ACME).status_code == 200
    with caplog.at_level(logging.DEBUG):
        assert report(stranger, token.text).status_code == 204
    assert client_of(token.text).get(ACME).status_code == 401
    row = ApiToken._base_manager.get(public_id=token.public_id)
    assert row.revoked_reason == "leaked"
    (entry,) = AuditLog._base_manager.filter(action="tenants.api_token.updated")
    assert entry.organization_id == cast.acme.pk
    assert (entry.actor_kind, entry.actor_label) == ("anonymous", "leak report")
    assert entry.reason == entry.after["revoked_reason"] == "leaked"
    assert token.public_id in caplog.text
    assert token.text[19:] not in caplog.text


def test_every_text_has_the_same_answer_for_the_same_cost(stranger, cast):
    real = make_api_token(cast.bob, cast.acme)
    texts = [
        real.text,
        f"  {make_api_token(cast.mallory, cast.umbrella).text}\n",
        real.text,  # dead by now
        make_token("u", real.public_id).text,
        make_token("s").text,
        "nonsense",
        "mlp_u_" + "é" * 60,
    ]
    answers = [report(stranger, text) for text in texts]
    assert {answer.status_code for answer in answers} == {204}
    assert {answer.content for answer in answers} == {b""}
    assert {answer["X-Query-Count"] for answer in answers} == {"2"}
    ours = {"X-Request-Id", "X-Query-Ms"}
    headers = [{n: v for n, v in a.items() if n not in ours} for a in answers]
    assert all(each == headers[0] for each in headers)
    assert ApiToken._base_manager.filter(revoked_reason="leaked").count() == 2


def test_an_old_secret_is_worth_reporting_while_it_works(stranger, cast):
    old = make_api_token(cast.alice, cast.acme)
    row = ApiToken._base_manager.get(public_id=old.public_id)
    address = f"{ACME}tokens/{row.pk}/rotate/"
    new = client_of(old.text).post(address, {"overlap_hours": 1}, **JSON).json()
    report(stranger, old.text)
    assert client_of(new["token"]).get(ACME).status_code == 401


def test_an_old_secret_that_is_dead_ends_nothing(stranger, cast):
    old = make_api_token(cast.alice, cast.acme)
    row = ApiToken._base_manager.get(public_id=old.public_id)
    new = client_of(old.text).post(f"{ACME}tokens/{row.pk}/rotate/", {}, **JSON).json()
    report(stranger, old.text)
    assert client_of(new["token"]).get(ACME).status_code == 200


def test_reports_from_one_address_end_in_429(stranger, cast, settings):
    settings.THROTTLES = settings.THROTTLES | {"token_leak": Rate(1 / 60, 2)}
    answers = [report(stranger, "nonsense") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [204, 204, 429]
    assert int(answers[2]["Retry-After"]) >= 1
    elsewhere = stranger.post(
        LEAKS, {"token": "nonsense"}, REMOTE_ADDR="203.0.113.9", **JSON
    )
    assert elsewhere.status_code == 204


@pytest.mark.parametrize("body", [{}, {"token": 1.5e3, "x": 1}, {"token": ""}, []])
def test_what_is_no_report_is_told_so(stranger, db, body):
    assert stranger.post(LEAKS, body, **JSON).status_code == 400


def test_there_is_nothing_to_read(stranger, db):
    assert stranger.get(LEAKS).status_code == 405

"""Ending an organization takes more than the permission to do so."""

from __future__ import annotations

import time

import pytest

from conftest import WebClient
from tenants.models import Organization

ACME = "/api/v1/organizations/acme/"
JSON = {"content_type": "application/json"}
PASSWORD = "a long walk by the river"


def is_alive() -> bool:
    return Organization._base_manager.get(slug="acme").deleted_at is None


@pytest.mark.parametrize("body", [{}, {"confirm": "umbrella"}, {"confirm": "ACME"}])
def test_a_token_has_to_say_which_one(alice, body):
    answer = alice.delete(ACME, body, **JSON)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message.startswith("confirm=")
    assert '{"confirm": "acme"}' in message
    assert is_alive()


def test_a_token_without_a_body_ends_nothing(alice):
    assert alice.delete(ACME).status_code == 400
    assert is_alive()


def test_a_token_that_says_it_ends_the_organization(alice):
    assert alice.delete(ACME, {"confirm": "acme"}, **JSON).status_code == 204
    assert not is_alive()


def test_a_misspelt_field_confirms_nothing(alice):
    answer = alice.delete(ACME, {"confirmed": "acme"}, **JSON)
    assert answer.status_code == 400
    assert "confirmed" in answer.json()["error"]["message"]
    assert is_alive()


def signed_in_seconds_ago(client: WebClient, user, seconds: int) -> WebClient:
    user.set_password(PASSWORD)
    user.save()
    entered = {"login": user.username, "password": PASSWORD}
    assert client.post("/accounts/login/", entered).status_code == 302
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] = time.time() - seconds
    session.save()
    return client


def delete(client: WebClient):
    return client.delete(ACME, headers={"Origin": "http://testserver"})


def test_a_session_ends_it_just_after_signing_in(stranger, cast):
    client = signed_in_seconds_ago(stranger, cast.alice, 10)
    assert delete(client).status_code == 204
    assert not is_alive()


def test_a_session_that_signed_in_long_ago_is_asked_who_it_is(stranger, cast):
    client = signed_in_seconds_ago(stranger, cast.alice, 301)
    answer = delete(client)
    assert answer.status_code == 403
    assert "/accounts/reauthenticate/" in answer.json()["error"]["message"]
    assert is_alive()
    again = client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert again.status_code == 302
    assert delete(client).status_code == 204

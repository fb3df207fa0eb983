from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from audit.models import AuditLog
from conftest import client_of, web_role
from tenants import sql, usage
from tenants.models import ApiToken
from tenants.tests.factories import make_api_token

ACME = "/api/v1/organizations/acme/"
HOT = "/api/2.0/mlflow/runs/search"


@pytest.fixture(autouse=True)
def noting(settings, monkeypatch):
    """Note uses; the test itself stands for the thread that writes them."""
    settings.TOKEN_USE_SECONDS = 60
    monkeypatch.setattr(usage.notebook, "start_writing", lambda: None)
    usage.notebook.begin_anew()
    yield
    usage.notebook.begin_anew()


def row_of(token) -> ApiToken:
    return ApiToken._base_manager.get(public_id=token.public_id)


def flush() -> int:
    with web_role():
        return usage.flush()


@pytest.mark.parametrize("hot", [True, False])
def test_a_use_is_noted_without_a_statement_and_written_later(cast, hot):
    token = make_api_token(cast.alice, cast.acme, cast.fraud)
    client = client_of(token.text)
    for _ in range(3):
        if hot:
            body = {"experiment_ids": ["0"]}
            answer = client.post(HOT, body, content_type="application/json")
            assert answer["X-Query-Count"] == "1"
        else:
            answer = client.get(f"{ACME}projects/fraud/", REMOTE_ADDR="203.0.113.9")
        assert answer.status_code == 200
    assert row_of(token).last_used_at is None
    assert flush() == 1
    row = row_of(token)
    assert abs(timezone.now() - row.last_used_at) < timedelta(seconds=30)
    assert row.last_used_ip_prefix == ("127.0.0.0/24" if hot else "203.0.113.0/24")
    assert flush() == 0


def test_uses_leave_no_entry_and_no_new_version_of_the_row(cast):
    token = make_api_token(cast.bob, cast.acme)
    before, updated_at = AuditLog._base_manager.count(), row_of(token).updated_at
    client_of(token.text).get(ACME)
    flush()
    assert AuditLog._base_manager.count() == before
    assert row_of(token).updated_at == updated_at


def test_a_row_is_written_once_in_five_minutes(cast):
    token = make_api_token(cast.bob, cast.acme)
    client = client_of(token.text)
    client.get(ACME)
    assert flush() == 1
    client.get(ACME)
    assert flush() == 0
    old = timezone.now() - timedelta(minutes=6)
    ApiToken._base_manager.filter(public_id=token.public_id).update(last_used_at=old)
    client.get(ACME)
    assert flush() == 1


def test_one_statement_writes_all_tokens(cast, django_assert_num_queries):
    tokens = [make_api_token(cast.bob, cast.acme) for _ in range(20)]
    for token in tokens:
        client_of(token.text).get(ACME)
    with django_assert_num_queries(1):
        assert usage.flush() == 20


def test_what_was_refused_is_no_use(cast):
    token = make_api_token(cast.bob, cast.acme, revoked_at=timezone.now())
    client_of(token.text).get(ACME)
    forged = make_api_token(cast.bob, cast.acme).text[:-7]
    client_of(forged + "0000000").get(ACME)
    assert usage.notebook.uses == {}


def test_a_refusal_by_role_is_a_use(cast):
    token = make_api_token(cast.bob, cast.acme)
    assert client_of(token.text).delete(ACME).status_code == 403
    assert flush() == 1


def test_a_guess_at_a_public_id_never_reaches_the_row(cast):
    token = make_api_token(cast.bob, cast.acme)
    assert sql.note_uses([token.public_id], [b"guess"], ["203.0.113.0/24"], [0.0]) == 0
    assert row_of(token).last_used_at is None


def test_what_cannot_be_written_is_kept_for_the_next_time(cast, monkeypatch, caplog):
    client_of(make_api_token(cast.bob, cast.acme).text).get(ACME)

    def fail(*_):
        raise OperationalError("gone")

    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING):
        broken.setattr(usage.sql, "note_uses", fail)
        broken.setattr(connection, "close", lambda: None)
        usage.write()
    assert "could not be written yet" in caplog.text
    assert flush() == 1


def test_the_memory_of_uses_is_bounded(cast, monkeypatch):
    monkeypatch.setattr(usage, "MOST_TOKENS", 2)
    for _ in range(4):
        client_of(make_api_token(cast.bob, cast.acme).text).get(ACME)
    assert len(usage.notebook.uses) == 2


def test_rest_shows_when_and_from_where(cast, alice):
    token = make_api_token(cast.bob, cast.acme)
    client_of(token.text).get(ACME, REMOTE_ADDR="2001:db8:1:2::3")
    flush()
    shown = alice.get(f"{ACME}tokens/{row_of(token).pk}/").json()
    assert shown["last_used_at"] is not None
    assert shown["last_used_ip_prefix"] == "2001:db8:1::/48"

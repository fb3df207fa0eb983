"""Failed authentication: what it costs, when it ends in 429, what raises an alarm."""

from __future__ import annotations

import base64
import logging
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models import F

from audit.models import AuditLog
from conftest import WebClient, client_of
from mlops import throttles
from mlops.db import throttling
from mlops.env import Rate
from tenants.authentication import make_token
from tenants.models import ApiToken
from tenants.tests.factories import make_api_token
from tests.mounts import every_mount

ACME = "/api/v1/organizations/acme/"
SEARCH = "experiments/search?max_results=1"
JSON = "application/json"


@pytest.fixture(autouse=True)
def few(settings):
    """Three failures a minute; the memory of refusals starts empty."""
    settings.THROTTLES = settings.THROTTLES | {
        "failed_authentication": Rate(3 / 60, 3),
        "reused_token": Rate(1 / 60, 1),
    }
    throttles._refused.clear()
    yield
    throttles._refused.clear()


def forged() -> str:
    return make_token("u").text


def statuses(client, count: int, address: str = ACME, **extra) -> list[int]:
    return [client.get(address, **extra).status_code for _ in range(count)]


@pytest.mark.parametrize("text", [forged(), "nonsense"], ids=["token", "nonsense"])
def test_failures_from_one_address_end_in_429(cast, text):
    client = client_of(text)
    assert statuses(client, 5) == [401, 401, 401, 429, 429]
    refused = client.get(ACME)
    assert int(refused["Retry-After"]) >= 1
    assert refused.json()["error"]["code"] == "too_many_requests"
    assert statuses(client, 1, REMOTE_ADDR="203.0.113.9") == [401]


@every_mount
def test_failures_end_in_429_in_mlflows_words(cast, mount):
    client = WebClient(headers={"authorization": f"Bearer {forged()}", **mount.headers})
    answers = [client.get(mount.url(SEARCH)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert answers[0].json()["error_code"] == "UNAUTHENTICATED"
    assert answers[3].json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert int(answers[3]["Retry-After"]) >= 1


def test_hot_routes_count_failures_too(cast):
    client = client_of(forged())
    address = "/api/2.0/mlflow/runs/search"
    answers = [client.post(address, {}, JSON).status_code for _ in range(4)]
    assert answers == [401, 401, 401, 429]


def test_a_good_token_passes_where_others_fail(cast):
    assert statuses(client_of(forged()), 5)[-1] == 429
    assert statuses(client_of(make_api_token(cast.bob, cast.acme).text), 1) == [200]


def test_a_request_without_credentials_is_no_failure(stranger, cast):
    assert statuses(stranger, 6) == [401] * 6


def test_a_refused_shape_costs_no_statement(cast):
    client = client_of("nonsense")
    counts = [client.get(ACME)["X-Query-Count"] for _ in range(6)]
    assert counts == ["1", "1", "1", "1", "0", "0"]


def test_a_failure_that_cannot_be_counted_stays_one(cast):
    def lose_connection(execute, sql, params, many, context):
        if "throttle_take" in sql:
            raise OperationalError("the connection is gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(lose_connection):
        assert statuses(client_of("nonsense"), 5) == [401] * 5


def test_what_a_proxy_sends_is_believed_from_the_proxy_only(cast, settings):
    settings.TRUSTED_PROXIES = ["10.0.0.1"]
    client = client_of(forged())
    behind = [
        client.get(
            ACME,
            REMOTE_ADDR="10.0.0.1",
            headers={"x-forwarded-for": f"203.0.113.{number}"},
        ).status_code
        for number in range(6)
    ]
    assert behind == [401] * 6
    lying = [
        client.get(
            ACME,
            REMOTE_ADDR="198.51.100.1",
            headers={"x-forwarded-for": f"203.0.113.{number}"},
        ).status_code
        for number in range(5)
    ]
    assert lying == [401, 401, 401, 429, 429]


# Secrets that were rotated away


def rotated(cast, *, overlap_hours: int = 0) -> tuple[str, str, ApiToken]:
    old = make_api_token(cast.alice, cast.acme).text
    row = ApiToken._base_manager.latest("created_at")
    address = f"{ACME}tokens/{row.pk}/rotate/"
    answer = client_of(old).post(address, {"overlap_hours": overlap_hours}, JSON)
    return old, answer.json()["token"], row


def end_overlap(row: ApiToken) -> None:
    past = F("previous_valid_until") - timedelta(hours=25)
    ApiToken._base_manager.filter(pk=row.pk).update(previous_valid_until=past)


def test_an_old_secret_raises_an_alarm_after_its_overlap(cast, caplog, as_trail):
    old, new, row = rotated(cast, overlap_hours=1)
    assert statuses(client_of(old), 1) == [200]
    end_overlap(row)
    with caplog.at_level(logging.ERROR, logger="tenants"):
        assert statuses(client_of(old), 2, REMOTE_ADDR="203.0.113.9") == [401, 401]
    (line,) = caplog.messages
    assert "rotated away" in line
    assert row.public_id in line
    assert old[19:] not in line
    (entry,) = as_trail("token.reused")
    assert entry.organization_id == cast.acme.pk
    assert entry.outcome == "denied"
    assert (entry.object_type, entry.object_id) == ("api_tokens", row.pk)
    assert entry.after["address"] == "203.0.113.0/24"
    assert statuses(client_of(new), 1) == [200]


def test_an_old_secret_raises_an_alarm_without_an_overlap_too(cast, as_trail):
    old, _, _ = rotated(cast)
    assert statuses(client_of(old), 1) == [401]
    assert len(as_trail("token.reused")) == 1


def test_every_secret_that_was_rotated_away_raises_an_alarm(cast, as_trail):
    first, second, row = rotated(cast)
    address = f"{ACME}tokens/{row.pk}/rotate/"
    answer = client_of(second).post(address, {"overlap_hours": 0}, JSON)
    third = answer.json()["token"]
    last = client_of(third).post(address, {"overlap_hours": 0}, JSON).json()["token"]
    for text in (first, second, third):
        throttling.forget(throttles.bucket("reused_token", row.public_id))
        assert statuses(client_of(text), 1) == [401]
    assert len(as_trail("token.reused")) == 3
    assert statuses(client_of(last), 1) == [200]


def test_former_secrets_show_nowhere(cast, as_trail):
    _, second, row = rotated(cast)
    client_of(second).post(f"{ACME}tokens/{row.pk}/rotate/", {}, JSON)
    (digest,) = ApiToken._base_manager.get(pk=row.pk).retired_digests
    trail = as_trail("tenants.api_token.updated")
    assert any("retired_digests" in entry.after for entry in trail)
    for entry in trail:
        assert bytes(digest).hex() not in f"{entry.before} {entry.after}"


def test_an_alarm_sounds_through_a_refused_address(cast, as_trail):
    old, _, _ = rotated(cast)
    assert statuses(client_of(forged()), 5)[-1] == 429
    assert statuses(client_of(old), 1) == [429]
    assert len(as_trail("token.reused")) == 1


def test_a_guess_at_a_known_public_id_is_no_reuse(cast, as_trail):
    _, _, row = rotated(cast)
    guess = make_token("u", row.public_id).text
    assert statuses(client_of(guess), 1) == [401]
    assert as_trail("token.reused") == []


def test_uses_of_both_secrets_differ_in_the_trail(cast, as_trail):
    old, new, row = rotated(cast, overlap_hours=1)
    for text, slug in ((old, "by-old"), (new, "by-new")):
        body = {"slug": slug}
        made = client_of(text).post(f"{ACME}projects/", body, JSON)
        assert made.status_code == 201
    by_old, by_new = sorted(
        as_trail("tenants.project.created"), key=lambda entry: entry.pk
    )[-2:]
    assert by_old.token_public_id == by_new.token_public_id == row.public_id
    assert by_old.reason == "by the previous secret of the token"
    assert by_new.reason == ""


def test_basic_and_bearer_fail_alike(cast):
    text = base64.b64encode(f"token:{forged()}".encode()).decode()
    client = WebClient(headers={"authorization": f"Basic {text}"})
    assert statuses(client, 4) == [401, 401, 401, 429]


@pytest.fixture
def as_trail(cast):
    """Return a function that reads entries as the trail holds them, of any tenant."""

    def read(action: str) -> list[AuditLog]:
        return list(AuditLog._base_manager.filter(action=action))

    return read

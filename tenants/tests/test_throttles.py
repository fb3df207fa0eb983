from __future__ import annotations

import json
import subprocess
import sys
import time
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from conftest import client_of
from mlops.env import Rate
from mlops.errors import TooManyRequests
from tenants import throttles
from tenants.authentication import Credential, digest_of
from tenants.tests.factories import make_api_token
from tests.settings import BASE_DIR, SUPERUSER_URL, TEST_DATABASE

ACME = "/api/v1/organizations/acme/"
HOT = "/api/2.0/mlflow/runs/search"
ORDINARY = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=trees"
# Buckets that do not fill up while a test runs.
SLOW = 1 / 3600


@pytest.fixture(autouse=True)
def fresh():
    throttles.forget_all()
    yield
    throttles.forget_all()


@pytest.fixture
def rates(settings):
    def set_rates(**bursts: int) -> None:
        changed = {kind: Rate(SLOW, burst) for kind, burst in bursts.items()}
        settings.THROTTLES = settings.THROTTLES | changed

    return set_rates


def credential() -> Credential:
    return Credential("0" * 12, digest_of(uuid4().hex))


def count_until_refused(spend, most: int = 1000) -> int:
    for number in range(most):
        try:
            spend()
        except TooManyRequests:
            return number
    return most


# The arithmetic of chunks


def requests_of(who: Credential, organization=None):
    organization = organization or uuid4()

    def request() -> None:
        throttles.spend(who, only_organization=False)
        throttles.admitted(who, organization, only_organization=False)

    return request


@pytest.mark.parametrize("burst", [1, 2, 7, 8, 40, 200])
def test_a_lone_process_admits_the_burst_and_no_more(db, rates, burst):
    """What came on credit is paid with the next lease, so it is in the burst."""
    rates(token=burst)
    assert count_until_refused(requests_of(credential())) == burst


def test_a_lone_request_costs_no_statement(db, rates, django_assert_num_queries):
    rates(token=200, organization=2000)
    request = requests_of(credential())
    with django_assert_num_queries(0):
        for _ in range(25):
            request()
    with django_assert_num_queries(1):  # a lease
        for _ in range(25):
            request()


def test_a_refusal_takes_no_statement_until_its_time(
    db, rates, django_assert_num_queries
):
    rates(token=4)
    who = credential()
    count_until_refused(requests_of(who))
    with django_assert_num_queries(0):
        for _ in range(20):
            with pytest.raises(TooManyRequests) as refused:
                throttles.spend(who, only_organization=False)
    assert refused.value.retry_after == 3600


def test_what_one_token_spends_another_still_has(db, rates):
    rates(token=8)
    organization = uuid4()
    count_until_refused(requests_of(credential(), organization))
    assert count_until_refused(requests_of(credential(), organization)) == 8


def test_all_tokens_of_an_organization_share_its_ceiling(db, rates):
    rates(organization=32)
    organization = uuid4()
    first, second = (requests_of(credential(), organization) for _ in range(2))

    def both() -> None:
        first()
        second()

    assert count_until_refused(both) == pytest.approx(16, abs=1)
    other = requests_of(credential(), uuid4())
    other()


def test_buckets_of_strangers_take_no_memory(db):
    for _ in range(50):
        throttles.spend(credential(), only_organization=False)
    assert len(throttles._buckets) == len(throttles._holders) == 0


def test_the_memory_of_buckets_is_bounded():
    recent: throttles.Recent[int] = throttles.Recent(3)
    for number in range(10):
        recent.keep(str(number), number + 1)
        recent.get("7")
    assert len(recent) == 3
    assert recent.get("7") == 8
    assert recent.get("0") is None


# Requests


def test_rest_over_its_rate_answers_429_and_when_to_come_back(cast, rates):
    rates(token=3)
    client = client_of(make_api_token(cast.bob, cast.acme).text)
    answers = [client.get(ACME) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1]["Retry-After"]) == 3600
    assert answers[-1].json()["error"]["code"] == "too_many_requests"
    assert "it may send" in answers[-1].json()["error"]["message"]


def test_the_first_requests_cost_no_statement_more(cast, rates):
    rates(token=200, organization=5000)
    client = client_of(make_api_token(cast.bob, cast.acme).text)
    counts = [client.get(ACME)["X-Query-Count"] for _ in range(25)]
    assert len(set(counts)) == 1


def test_a_request_over_its_rate_costs_nothing(cast, rates):
    rates(token=1)
    client = client_of(make_api_token(cast.bob, cast.acme).text)
    answers = [client.get(ACME) for _ in range(3)]
    assert [a["X-Query-Count"] for a in answers[1:]] == ["1", "0"]


def test_who_knows_a_public_id_cannot_spend_its_allowance(cast, rates):
    rates(token=4)
    mine = make_api_token(cast.bob, cast.acme)
    public_id = mine.public_id
    from_outside = Credential(public_id, digest_of("guessed"))
    for _ in range(50):
        throttles.spend(from_outside, only_organization=False)
        throttles.admitted(from_outside, None, only_organization=False)
        throttles.forget_all()
    assert client_of(mine.text).get(ACME).status_code == 200


def hot(client):
    return client.post(
        HOT, {"experiment_ids": ["0"]}, content_type="application/json"
    ).status_code


@pytest.mark.parametrize("ask", [hot, lambda client: client.get(ORDINARY).status_code])
def test_protocol_counts_against_the_organization_alone(cast, rates, ask):
    rates(token=2)
    client = client_of(make_api_token(cast.alice, cast.acme, cast.fraud).text)
    assert 429 not in [ask(client) for _ in range(40)]


def test_hot_requests_meet_the_ceiling_of_their_organization(cast, rates):
    rates(organization=60)
    client = client_of(make_api_token(cast.alice, cast.acme, cast.fraud).text)
    statuses = [hot(client) for _ in range(100)]
    admitted = statuses.count(200)
    assert 60 <= admitted <= 60 + throttles.CREDIT
    assert set(statuses[admitted:]) == {429}
    refused = client.post(HOT, {}, content_type="application/json")
    assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert int(refused["Retry-After"]) >= 1


def test_hot_requests_stay_one_statement_but_for_leases(cast, rates):
    rates(organization=4000)
    client = client_of(make_api_token(cast.alice, cast.acme, cast.fraud).text)
    counts = [
        int(
            client.post(
                HOT, {"experiment_ids": ["0"]}, content_type="application/json"
            )["X-Query-Count"]
        )
        for _ in range(300)
    ]
    # Once to learn the organization, once for the second chunk.
    assert sorted(counts)[-3:] == [1, 2, 2]


def test_a_session_has_a_bucket_of_its_own(stranger, cast, rates):
    rates(token=3)
    stranger.force_login(cast.alice)
    statuses = [stranger.get(ACME).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


# Two processes

WORKER = """
import json, sys, time
import django
django.setup()
from mlops.errors import TooManyRequests
from tenants import throttles
from tenants.authentication import Credential
who = Credential("0" * 12, bytes.fromhex(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
until, admitted, leases = time.monotonic() + float(sys.argv[2]), 0, 0
while time.monotonic() < until:
    try:
        throttles.spend(who, only_organization=False)
        throttles.admitted(who, None, only_organization=False)
        admitted += 1
    except TooManyRequests:
        time.sleep(0.005)
print(json.dumps(admitted))
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_one_rate():
    seconds, per_second, burst, count = 1.5, 40, 40, 2
    environment = {
        "PATH": "/usr/bin:/bin",
        "DJANGO_SETTINGS_MODULE": "mlops.settings",
        "DATABASE_URL": url_of_this_database(),
        "SECRET_KEY": "two processes",
        "THROTTLE_TOKEN": f"{per_second}/s:{burst}",
        "THROTTLE_ORGANIZATION": "1000000/s",
    }
    digest = uuid4().bytes.hex() * 2
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, digest, str(seconds)],
            env=environment,
            cwd=BASE_DIR,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(count)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    begin = time.monotonic()
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    admitted = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    took = time.monotonic() - begin
    rightful = burst + per_second * seconds
    beyond = 2 * count * (burst // throttles.CHUNK_SHARE)
    assert min(admitted) > 0
    assert rightful * 0.7 <= sum(admitted) <= burst + per_second * took + beyond


def url_of_this_database() -> str:
    return urlunsplit(urlsplit(SUPERUSER_URL)._replace(path=f"/{TEST_DATABASE}"))

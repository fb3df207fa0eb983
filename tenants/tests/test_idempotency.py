"""Idempotency-Key: whoever lost an answer sends the request again, and hears it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from audit.models import AuditLog
from conftest import client_of
from registry.models import Experiment, Run
from tenants import jobs
from tenants.models import ApiToken, IdempotencyKey
from tenants.tests.factories import make_api_token

ACME = "/api/v1/organizations/acme/"
EXPERIMENTS = ACME + "projects/fraud/experiments/"
RUNS = ACME + "projects/fraud/runs/"


def post(client, address: str, key: str, **body: Any) -> Any:
    headers = {"Idempotency-Key": key}
    return client.post(address, body, content_type="application/json", headers=headers)


def refusal(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def test_a_request_sent_again_is_answered_alike_and_done_once(alice):
    first = post(alice, EXPERIMENTS, "k1", name="trees")
    again = post(alice, EXPERIMENTS, "k1", name="trees")
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert Experiment._base_manager.filter(name="trees").count() == 1
    assert AuditLog._base_manager.filter(object_label="trees").count() == 1


def test_a_run_is_made_once(alice, cast):
    (experiment,) = alice.get(EXPERIMENTS).json()["results"]
    for _ in range(3):
        post(alice, RUNS, "night", experiment=experiment["id"], name="night")
    assert Run._base_manager.count() == 1


def test_without_a_key_each_request_counts(alice):
    (experiment,) = alice.get(EXPERIMENTS).json()["results"]
    body = {"experiment": experiment["id"], "name": "night"}
    for _ in range(2):
        alice.post(RUNS, body, content_type="application/json")
    assert Run._base_manager.count() == 2
    assert not IdempotencyKey._base_manager.exists()


@pytest.mark.parametrize(
    "address,name", [(EXPERIMENTS, "bushes"), (f"{ACME}projects/churn/runs/", "trees")]
)
def test_a_key_belongs_to_one_request(alice, address, name):
    post(alice, EXPERIMENTS, "k1", name="trees")
    status, message = refusal(post(alice, address, "k1", name=name))
    assert status == 409
    assert "'k1' came with another request" in message


def test_the_key_of_one_caller_is_nobody_else_s(alice, cast, mallory):
    carol = client_of(make_api_token(cast.bob, cast.acme).text)
    post(alice, EXPERIMENTS, "k1", name="trees")
    assert post(carol, EXPERIMENTS, "k1", name="trees").status_code == 403
    theirs = EXPERIMENTS.replace("acme", "umbrella")
    assert post(mallory, theirs, "k1", name="trees").status_code == 201
    assert IdempotencyKey._base_manager.count() == 2


def test_whoever_may_no_longer_hears_nothing(alice, cast):
    post(alice, EXPERIMENTS, "k1", name="trees")
    ApiToken._base_manager.update(revoked_at=timezone.now())
    assert post(alice, EXPERIMENTS, "k1", name="trees").status_code == 401


def test_what_was_refused_may_be_tried_again(alice):
    assert post(alice, EXPERIMENTS, "k1", name="").status_code == 400
    assert not IdempotencyKey._base_manager.exists()
    assert post(alice, EXPERIMENTS, "k1", name="trees").status_code == 201


def test_a_secret_is_not_kept_to_be_shown_again(alice):
    body = {"name": "ci", "days": 1}
    first = post(alice, f"{ACME}tokens/", "k1", **body)
    assert first.status_code == 201
    status, message = refusal(post(alice, f"{ACME}tokens/", "k1", **body))
    assert status == 409
    assert "shown once" in message
    assert ApiToken._base_manager.filter(name="ci").count() == 1
    assert IdempotencyKey._base_manager.get().answer == ""


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256])
def test_a_key_that_is_none_is_refused(alice, key):
    status, message = refusal(post(alice, EXPERIMENTS, key, name="trees"))
    assert status == 400
    assert "Idempotency-Key" in message
    assert not Experiment._base_manager.filter(name="trees").exists()


def test_keys_are_forgotten_after_a_day(alice, cast):
    for key in ("old", "new"):
        post(alice, EXPERIMENTS, key, name=key)
    past = timezone.now() - timedelta(hours=25)
    IdempotencyKey._base_manager.filter(key="old").update(created_at=past)
    jobs.forget_idempotency_keys(0)
    assert list(IdempotencyKey._base_manager.values_list("key", flat=True)) == ["new"]


@pytest.mark.django_db(transaction=True)
def test_the_same_request_at_the_same_moment_is_done_once(cast):
    token = make_api_token(cast.alice, cast.acme).text
    answers: list[Any] = []

    def ask() -> None:
        answers.append(post(client_of(token), EXPERIMENTS, "k1", name="trees"))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert Experiment._base_manager.filter(name="trees").count() == 1

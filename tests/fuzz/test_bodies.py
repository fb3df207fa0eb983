"""Raw bodies, queries and paths on MLflow's protocol, at every mount."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from django.db import transaction

from registry import models as registry
from registry.mlflow.endpoint import ENDPOINTS
from tests.fuzz.mutations import MOUNTS, QUESTIONS, Asked, Spoiler
from tests.fuzz.valid import store
from tests.fuzz.verdicts import (
    SEED,
    Findings,
    calls,
    content_of,
    failures,
    ill_formed,
    message_of_mlflow,
)
from tests.fuzz.world import World, fuzzing_client, make_world

# A fifth is asked as it should be, and nine of ten of the soak are to be spoilt.
EVERYDAY, SOAK = 1_800, 26_000
# So many at a time see what the others have stored.
TOGETHER = 50
# They are there for stores that stand open to clients; ours stands behind the server.
NEVER_ACCEPT = {
    "POST artifacts/presigned-download-url",
    "POST artifacts/presigned-upload-url",
}


@pytest.fixture
def world(cast) -> Iterator[World]:
    logging.disable(logging.ERROR)  # each refusal would be a line
    world = make_world(cast, bound_to=cast.fraud)
    world.callers["wide"] = fuzzing_client(cast.alice, cast, None)
    yield world
    logging.disable(logging.NOTSET)


@pytest.fixture
def spoiler(world, cast) -> Spoiler:
    return Spoiler(Random(SEED), store(cast, world.callers["maintainer"]))


def ask_many(
    world: World,
    ask: Callable[[], Asked],
    count: int,
    following: Callable[[Asked, str], Asked] | None = None,
) -> Findings:
    """Ask on where an answer says that there is more, if it is said how."""
    findings = Findings()
    while findings.asked < count:
        with transaction.atomic():
            for _ in range(TOGETHER):
                asked = ask()
                response = judge(world, findings, asked)
                if following and (token := page_token_of(response)):
                    judge(world, findings, following(asked, token))
            transaction.set_rollback(True)
    return findings


def page_token_of(response: Any) -> str:
    if b'"next_page_token"' not in content_of(response):
        return ""
    return str(json.loads(content_of(response))["next_page_token"])


def judge(world: World, findings: Findings, asked: Asked) -> Any:
    response = world.callers[asked.role].generic(
        asked.method,
        asked.url,
        asked.body,
        asked.content_type,
        headers=dict(asked.headers),
    )
    problems = [*failures(response)]
    if asked.method != "HEAD":
        problems += ill_formed(response, message_of_mlflow)
        problems += [f"shows {mark!r}" for mark in world.shown(content_of(response))]
    where = asked.endpoint
    if where == QUESTIONS:
        where += ", with data" if has_data(response) else ", without data"
    findings.judge(where, f"{asked.role}: {asked}", response, problems)
    return response


def has_data(response: Any) -> bool:
    """What is wrong with a query of GraphQL is no other status."""
    found = json.loads(content_of(response)).get("data")
    return bool(found) and any(found.values())


def test_every_endpoint_takes_what_is_then_spoilt(world, spoiler):
    """An endpoint that refuses what is valid would only be fuzzed in vain."""
    findings = Findings()
    refused = []
    for endpoint in ENDPOINTS:
        for _ in range(3):
            with transaction.atomic():
                asked = spoiler.asked(endpoint, 0)
                response = judge(world, findings, asked)
                if response.status_code >= 300 and asked.endpoint not in NEVER_ACCEPT:
                    refused.append(f"{asked} {content_of(response)!r}")
                transaction.set_rollback(True)
    findings.check()
    assert not refused, "\n".join(refused)
    assert set(findings.never_accepted) == NEVER_ACCEPT


def test_every_endpoint_answers_spoilt_requests(world, spoiler):
    findings = ask_many(world, spoiler.request, EVERYDAY, spoiler.next_page)
    findings.check()
    # A corpus that nothing accepts, or that nothing refuses, would test half of it.
    assert {200, 400, 404} <= set(findings.statuses)


def test_every_file_route_answers_hostile_paths(world, spoiler):
    findings = ask_many(world, spoiler.file_request, EVERYDAY // 4)
    findings.check()
    stored = registry.PackageFile._base_manager.values_list("path", flat=True)
    assert not [path for path in stored if ".." in path.split("/")]


def test_every_step_of_an_upload_answers_spoilt_requests(world, spoiler):
    findings = ask_many(world, spoiler.upload_request, EVERYDAY // 4)
    findings.check()
    assert {200, 400, 404} <= set(findings.statuses)


def test_the_seed_makes_the_same_requests_again(spoiler):
    again = Spoiler(Random(SEED), spoiler.stored)
    assert [spoiler.request() for _ in range(100)] == [
        again.request() for _ in range(100)
    ]


def test_every_endpoint_and_every_mount_gets_its_share(spoiler):
    asked = [spoiler.request() for _ in range(EVERYDAY)]
    assert {each.endpoint for each in asked} == {
        QUESTIONS,
        *(f"{each.method} {each.path}" for each in ENDPOINTS),
    }
    assert {each.url.split("/mlflow/")[0] for each in asked} >= {
        mount.prefix.split("/mlflow")[0] for mount in MOUNTS
    }


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_every_endpoint_answers_twenty_thousand_spoilt_requests(world, spoiler):
    count = calls(SOAK)
    findings = ask_many(world, spoiler.request, count, spoiler.next_page)
    findings.check()
    assert findings.asked >= count
    assert set(findings.never_accepted) == NEVER_ACCEPT


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_file_route_answers_five_thousand_hostile_paths(world, spoiler):
    ask_many(world, spoiler.file_request, calls(SOAK) // 4).check()


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_step_of_an_upload_answers_five_thousand_spoilt_requests(world, spoiler):
    ask_many(world, spoiler.upload_request, calls(SOAK) // 4).check()

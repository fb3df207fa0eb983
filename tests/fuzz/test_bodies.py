"""Raw bodies, queries and paths on MLflow's protocol, at every mount."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest
from django.db import transaction

from registry import models as registry
from registry.mlflow.endpoint import ENDPOINTS
from registry.tests.factories import LoggedModelFactory, RunFactory, UploadFactory
from tests.fuzz.mutations import MOUNTS, Asked, Spoiler
from tests.fuzz.verdicts import (
    SEED,
    Findings,
    content_of,
    failures,
    ill_formed,
    message_of_mlflow,
)
from tests.fuzz.world import World, make_world

EVERYDAY, SOAK = 1_800, 20_000
# So many at a time see what the others have stored.
TOGETHER = 50


@pytest.fixture
def world(cast) -> Iterator[World]:
    logging.disable(logging.ERROR)  # each refusal would be a line
    yield make_world(cast, bound_to=cast.fraud)
    logging.disable(logging.NOTSET)


@pytest.fixture
def spoiler(world, cast) -> Spoiler:
    run = RunFactory(experiment__project=cast.fraud)
    number = str(run.experiment.iid)
    model = LoggedModelFactory(experiment=run.experiment, source_run=run)
    location = f"{number}/{run.pk.hex}/artifacts/model.bin"
    upload = UploadFactory(project=cast.fraud, location=location)
    return Spoiler(
        Random(SEED),
        run_id=run.pk.hex,
        experiment_id=number,
        model_id=f"m-{model.pk.hex}",
        upload_id=upload.pk.hex,
    )


def ask_many(world: World, ask: Callable[[], Asked], count: int) -> Findings:
    findings = Findings()
    for _ in range(0, count, TOGETHER):
        with transaction.atomic():
            for _ in range(TOGETHER):
                judge(world, findings, ask())
            transaction.set_rollback(True)
    return findings


def judge(world: World, findings: Findings, asked: Asked) -> None:
    role = "maintainer" if len(asked.body) % 2 else "editor"
    response = world.callers[role].generic(
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
    findings.judge(f"{asked.method} {asked.endpoint}", str(asked), response, problems)


def test_every_endpoint_answers_spoilt_requests(world, spoiler):
    findings = ask_many(world, spoiler.request, EVERYDAY)
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
    again = replace(spoiler, random=Random(SEED))
    assert [spoiler.request() for _ in range(100)] == [
        again.request() for _ in range(100)
    ]


def test_every_endpoint_and_every_mount_gets_its_share(spoiler):
    asked = [spoiler.request() for _ in range(EVERYDAY)]
    assert {each.endpoint for each in asked} == {each.path for each in ENDPOINTS}
    assert {each.url.split("/mlflow/")[0] for each in asked} >= {
        mount.prefix.split("/mlflow")[0] for mount in MOUNTS
    }


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_every_endpoint_answers_twenty_thousand_spoilt_requests(world, spoiler):
    findings = ask_many(world, spoiler.request, SOAK)
    findings.check()
    assert sum(findings.statuses.values()) >= SOAK


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_file_route_answers_five_thousand_hostile_paths(world, spoiler):
    ask_many(world, spoiler.file_request, SOAK // 4).check()


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_step_of_an_upload_answers_five_thousand_spoilt_requests(world, spoiler):
    ask_many(world, spoiler.upload_request, SOAK // 4).check()

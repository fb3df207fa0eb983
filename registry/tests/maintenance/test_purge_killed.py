"""A purge is killed at any moment, again and again; in the end nothing is torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from mlops.db.uuid7 import uuid7
from registry.models import Metric, Param, Run
from registry.tests.factories import ExperimentFactory, RunFactory
from tenants.models import Project
from tenants.tests.factories import OrganizationFactory, ProjectFactory

RUNS, POINTS = 6, 150
COMMAND = """
import sys
from tests import settings
database, *words = sys.argv[1:]
settings.DATABASES["default"]["NAME"] = database
import django
django.setup()
from django.core.management import call_command
print("ready", flush=True)
call_command(*words)
"""
WORDS = ("purge", "--yes", "--batch", "5", "--quiet")


@pytest.fixture
def place(transactional_db) -> Project:
    organization = OrganizationFactory(slug=f"purged-{time.monotonic_ns()}")
    project = ProjectFactory(organization=organization)
    long_ago = timezone.now() - timedelta(days=40)
    experiment = ExperimentFactory(project=project)
    for number in range(RUNS):
        run = RunFactory(experiment=experiment)
        log(run)
        if number % 2:
            marks = {"deleted_at": long_ago, "purge_after": long_ago + timedelta(30)}
            Run._base_manager.filter(pk=run.pk).update(**marks)
    return project


def log(run: Run) -> None:
    common: dict[str, Any] = {"organization_id": run.organization_id, "run": run}
    Metric._base_manager.bulk_create(
        Metric(id=uuid7(), **common, name="loss", value=1.0, timestamp_ms=n, step=n)
        for n in range(POINTS)
    )
    of_experiment = {**common, "experiment_id": run.experiment_id}
    Param._base_manager.bulk_create([Param(**of_experiment, key="depth", value="3")])


def start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, connection.settings_dict["NAME"], *WORDS],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def rounds(most: int) -> int:
    """Kill it later each time, unless it comes to its end before; count the deaths."""
    for death in range(most):
        process = start()
        time.sleep(random.uniform(0.05, 0.2) * (death + 1))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        if process.returncode == 0:
            return death
        assert process.returncode == -signal.SIGKILL, said
        assert_nothing_of_the_living_went()
    return most


def assert_nothing_of_the_living_went() -> None:
    alive = Run._base_manager.filter(deleted_at=None)
    assert alive.count() == RUNS / 2
    assert Metric._base_manager.filter(run__in=alive).count() == POINTS * RUNS / 2
    # What a run still has, the run is still there for.
    left = Run._base_manager.values("pk")
    assert not Metric._base_manager.exclude(run__in=left).exists()
    assert not Param._base_manager.exclude(run__in=left).exists()


@pytest.mark.parametrize(
    "most", [2, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_a_purge_that_is_killed_goes_on_where_it_was(place, most):
    assert rounds(most) > 0
    process = start()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert_nothing_of_the_living_went()
    assert Run._base_manager.count() == RUNS / 2
    assert Metric._base_manager.count() == POINTS * RUNS / 2


def test_a_terminated_purge_finishes_its_batch_and_says_so(place):
    process = start()
    time.sleep(0.4)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode in {0, 1}, said
    assert_nothing_of_the_living_went()

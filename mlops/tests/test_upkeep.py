from __future__ import annotations

import time

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from procrastinate.contrib.django import app
from procrastinate.testing import InMemoryConnector

from mlops import upkeep


@pytest.mark.django_db
def test_a_job_by_the_clock_runs_when_the_worker_takes_it():
    ended = SessionStore()
    ended.set_expiry(-1)
    ended.create()
    # The queue in memory, the job itself and its argument's name as in earnest.
    with app.replace_connector(InMemoryConnector()) as queued:
        task = queued.tasks["mlops.upkeep.forget_ended_sessions"]
        task(timestamp=int(time.time()))
    assert not Session.objects.filter(session_key=ended.session_key).exists()


def test_every_job_by_the_clock_takes_a_timestamp():
    declared = [
        task.task
        for task in app.periodic_registry.periodic_tasks.values()
        if task.task.name.startswith("mlops.")
    ]
    assert {task.name for task in declared} == {
        "mlops.upkeep.forget_ended_sessions",
        "mlops.upkeep.forget_full_throttles",
        "mlops.upkeep.keep_partitions_ahead",
    }
    for task in declared:
        assert next(iter(task.func.__annotations__)) == "timestamp"


def test_upkeep_is_where_the_worker_looks(settings):
    assert upkeep.__name__ in settings.PROCRASTINATE_IMPORT_PATHS

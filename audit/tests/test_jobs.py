from __future__ import annotations

import logging
import time

import pytest
from procrastinate.contrib.django import app
from procrastinate.testing import InMemoryConnector

from audit.models import Anchor, Seal
from audit.tests.sealed import write
from audit.tests.trail import run
from mlops.db.uuid7 import uuid7

pytestmark = pytest.mark.usefixtures("sealing_key")


def periodic() -> dict[str, str]:
    tasks = app.periodic_registry.periodic_tasks.values()
    return {each.task.name: each.cron for each in tasks}


def test_jobs_come_by_the_clock():
    found = periodic()
    assert found["audit.jobs.seal_entries"] == "* * * * * */5"
    assert found["audit.jobs.anchor_seals"] == "7 * * * *"
    assert {"audit.jobs.look_for_lateness", "forget_finished:seals"} <= set(found)


@pytest.mark.django_db(transaction=True)
def test_jobs_seal_and_anchor_when_the_worker_takes_them(settings, tmp_path):
    settings.AUDIT_ANCHORS = [f"file:{tmp_path / 'anchors.jsonl'}"]
    write(uuid7(), 3)
    with app.replace_connector(InMemoryConnector()) as queued:
        queued.tasks["audit.jobs.seal_entries"](timestamp=int(time.time()))
        queued.tasks["audit.jobs.anchor_seals"](timestamp=int(time.time()))
    assert [each.count for each in Seal._base_manager.all()] == [3]
    assert Anchor.objects.get().chains == 1


INSERT = """
INSERT INTO audit_logs SELECT (jsonb_populate_record(l, jsonb_build_object(
    'id', uuid7_at(now() - interval '2 min'), 'created_at', now() - interval '2 min'
))).* FROM audit_logs l LIMIT 1
"""


@pytest.mark.django_db(transaction=True)
def test_lateness_is_logged_when_entries_wait(caplog):
    task = app.tasks["audit.jobs.look_for_lateness"]
    write(uuid7(), 1)
    with caplog.at_level(logging.WARNING, "audit.jobs"):
        task(timestamp=int(time.time()))
        assert caplog.text == ""
        run(INSERT)
        task(timestamp=int(time.time()))
    assert "wait to be sealed since 12" in caplog.text

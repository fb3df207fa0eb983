"""Case D13: a tag that names a parent run says nothing of runs that are not one's own.

MLflow's server takes any text for mlflow.parentRunId, and tools that move runs from one
server to another write it before the parent is there. So every id is taken alike.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from registry.models import Run
from registry.tests.factories import ExperimentFactory, RunFactory
from registry.tests.protocol import Tracking, data_of
from tests.mounts import every_mount

PARENT = "mlflow.parentRunId"


@pytest.fixture
def parents(cast) -> dict[str, str]:
    """Ids of runs: of another organization, another project, deleted, of nobody."""
    ours = ExperimentFactory(project=cast.fraud)
    deleted = RunFactory(experiment=ours)
    Run._base_manager.filter(pk=deleted.pk).update(deleted_at="2026-01-01T00:00Z")
    return {
        "foreign": RunFactory(experiment__project=cast.umbrella_fraud).pk.hex,
        "other project": RunFactory(experiment__project=cast.churn).pk.hex,
        "deleted": deleted.pk.hex,
        "absent": uuid4().hex,
    }


def answer_of(response: Any, parent: str) -> tuple[int, bytes]:
    return response.status_code, response.content.replace(parent.encode(), b"PARENT")


@every_mount
def test_a_foreign_parent_is_answered_as_an_absent_one(alice, cast, mount, parents):
    client = Tracking(alice, "")
    run = RunFactory(experiment__project=cast.fraud)
    for body in ({"key": PARENT}, {"tags": True}):
        answers = set()
        for parent in parents.values():
            if "key" in body:
                path, given = "runs/set-tag", {"key": PARENT, "value": parent}
            else:
                path = "runs/log-batch"
                given = {"tags": [{"key": PARENT, "value": parent}]}
            response = client.client.post(
                mount.url(path),
                {"run_id": run.pk.hex, **given},
                "application/json",
                headers=with_project(mount),
            )
            answers.add(answer_of(response, parent))
        assert answers == {(200, b"{}")}


def with_project(mount: Any) -> dict[str, str]:
    """Alice's token is good for two projects: each mount says which is meant."""
    return mount.headers or {"X-MLFLOW-WORKSPACE": "fraud"}


def test_a_parent_of_others_shows_nothing_but_its_own_text(alice_in_fraud, parents):
    fraud = Tracking(alice_in_fraud)
    children = {
        case: fraud.run(run_name="child", tags=[{"key": PARENT, "value": parent}])
        for case, parent in parents.items()
    }
    for case, child in children.items():
        run = fraud.run_of(child)
        assert data_of(run, "tags") == {
            PARENT: parents[case],
            "mlflow.runName": "child",
        }
        # Deleting the child, or the parent's own run, reaches nothing of the other.
        fraud.ok("runs/delete", run_id=child)
    kept = Run._base_manager.filter(deleted_at__isnull=True)
    others = {parents["foreign"], parents["other project"]}
    assert {run.pk.hex for run in kept} >= others

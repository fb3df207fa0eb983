"""The first job: the example, run as it is, and every single thing it logged."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow.exceptions import MlflowException

from tests.e2e.logged import LoggedRun, read, sent, text_of
from tests.e2e.running import ROOT, Platform, Tenant

pytestmark = pytest.mark.e2e


@dataclass
class Training:
    tenant: Tenant
    mount: str
    printed: str
    runs: dict[str, LoggedRun]


@pytest.fixture(scope="module", params=["token", "path"])
def training(platform: Platform, request, tmp_path_factory) -> Training:
    """Train in a project of its own, knowing the two variables and nothing else."""
    tenant, mount = platform.make_tenant(), request.param
    journal = tmp_path_factory.mktemp(mount) / "journal.jsonl"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.e2e.recorder", journal, "examples/train.py"],
        cwd=ROOT,
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME")},
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **tenant.environment(mount),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return Training(tenant, mount, ran.stdout, sent(journal))


def test_example_logs_five_rich_runs(training: Training) -> None:
    """What the next test compares is worth comparing."""
    assert len(training.runs) == 5
    for run in training.runs.values():
        assert run.status == "FINISHED"
        assert [len(run.metrics[key]) for key in ("train_loss", "test_loss")] == [
            200
        ] * 2
        assert len(run.metrics["accuracy"]) == 1
        assert {"algorithm", "mlflow.runName", "mlflow.user"} <= set(run.tags)
        assert len(run.params) >= 5
        assert [given[0] for given in run.inputs] == ["breast-cancer"]
        assert sorted(run.files) == [
            "model/features.json",
            "model/model.joblib",
            "plots/confusion_matrix.png",
        ]
    assert len({tuple(run.params.items()) for run in training.runs.values()}) == 5


def test_example_prints_a_line_per_run_and_where_to_look(training: Training) -> None:
    for run_id, run in training.runs.items():
        (line,) = [
            line
            for line in training.printed.splitlines()
            if line.startswith(f"{run.name}: accuracy")
        ]
        assert run_id in line
    address = training.tenant.address(training.mount)
    assert f"All in experiment breast-cancer at {address}" in training.printed


def test_all_that_the_example_logged_comes_back(training: Training, tmp_path) -> None:
    with training.tenant.client(training.mount) as client:
        found = {run_id: read(client, run_id, tmp_path) for run_id in training.runs}
    assert found == training.runs


def test_the_other_mount_shows_the_same(training: Training, tmp_path) -> None:
    other = {"token": "path", "path": "token"}[training.mount]
    run_id, run = next(iter(training.runs.items()))
    with training.tenant.client(other) as client:
        assert read(client, run_id, tmp_path) == run


def test_search_finds_every_run_with_what_it_holds(training: Training) -> None:
    with training.tenant.client(training.mount) as client:
        experiment = client.get_experiment_by_name("breast-cancer")
        assert experiment
        found = client.search_runs([experiment.experiment_id])
    started = [run.info.start_time for run in found]
    assert started == sorted(started, reverse=True)
    assert {run.info.run_id: run.data.params for run in found} == {
        run_id: run.params for run_id, run in training.runs.items()
    }
    for run in found:
        latest = {key: text_of(value) for key, value in run.data.metrics.items()}
        points = training.runs[run.info.run_id].metrics
        assert latest == {key: points[key][-1][2] for key in points}


def test_another_tenant_sees_none_of_it(
    training: Training, stranger: Tenant, tmp_path: Path
) -> None:
    """Asked for by its number, a run is as absent as one that never was."""
    run_id = next(iter(training.runs))
    with stranger.client(training.mount) as client:
        names = {experiment.name for experiment in client.search_experiments()}
        assert names == {"Default"}
        for look in (
            client.get_run,
            client.list_artifacts,
            lambda run: client.get_metric_history(run, "accuracy"),
            lambda run: client.download_artifacts(run, "model", str(tmp_path)),
            lambda run: client.set_tag(run, "mine", "now"),
            lambda run: client.log_metric(run, "accuracy", 1.0),
            client.delete_run,
        ):
            assert refusal(look, run_id) == refusal(look, uuid4().hex)
    assert list(tmp_path.iterdir()) == []


def refusal(look, run_id: str) -> str:
    with pytest.raises(MlflowException) as refused:
        look(run_id)
    return str(refused.value).replace(run_id, "<run>")


def test_a_token_opens_no_other_tenants_address(
    training: Training, stranger: Tenant
) -> None:
    foreign = Tenant(
        stranger.base_url,
        training.tenant.organization,
        training.tenant.project,
        stranger.token,
    )
    with foreign.client("path") as client, pytest.raises(MlflowException):
        client.search_experiments()

"""The client environments of real programs, and what a server holds after them.

`make programs` installs them: the newest mlflow 3.x and the last 2.x. A program knows
the address and the token, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import LoggedModel, Run
from mlflow.tracking import MlflowClient

from tests.e2e.logged import files_of, text_of
from tests.e2e.running import ROOT

PROGRAMS = ROOT / "tests" / "programs"
NEWEST, LAST_2 = "mlflow3", "mlflow2"
# What tells one run of a program from another one.
VOLATILE_TAGS = {
    "mlflow.log-model.history",
    "mlflow.parentRunId",
    "datetime_start",  # Optuna's
    "datetime_complete",
}
ID = re.compile(r"\b(m-)?[0-9a-f]{32}\b")


@dataclass(frozen=True)
class Server:
    """An address to log to, and what it asks for."""

    address: str
    token: str = ""

    @property
    def environment(self) -> dict[str, str]:
        token = {"MLFLOW_TRACKING_TOKEN": self.token} if self.token else {}
        return {"MLFLOW_TRACKING_URI": self.address, **token}

    @contextmanager
    def client(self) -> Iterator[MlflowClient]:
        """Read with the client of this process."""
        before = dict(os.environ)
        os.environ.pop("MLFLOW_TRACKING_TOKEN", None)
        os.environ.update(self.environment)
        try:
            yield MlflowClient(self.address)
        finally:
            os.environ.clear()
            os.environ.update(before)


def run_in(client: str, server: Server, folder: Path, *words: str) -> str:
    """Run a program of the client's environment, and return what it prints."""
    commands = ROOT / ".venv" / "programs" / client / "bin"
    if not commands.exists():
        pytest.fail(f"The environment {client} is not installed: run `make programs`")
    ran = subprocess.run(
        [commands / words[0], *words[1:]],
        cwd=folder,
        env={
            "PATH": f"{commands}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "GIT_PYTHON_REFRESH": "quiet",
            **server.environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{words}: {ran.stdout}\n{ran.stderr}"
    return ran.stdout


def run_program(client: str, name: str, server: Server, folder: Path) -> list[str]:
    """Return the lines of a program, without those that say where its runs are."""
    printed = run_in(client, server, folder, "python", str(PROGRAMS / f"{name}.py"))
    return [ID.sub("<id>", line) for line in printed.splitlines() if "://" not in line]


def held(client: MlflowClient, experiment: str) -> dict[str, Any]:
    """Return all that the runs and models of an experiment hold, without ids."""
    found = client.get_experiment_by_name(experiment)
    assert found, experiment
    runs = client.search_runs([found.experiment_id], max_results=1000)
    models = client.search_logged_models([found.experiment_id])
    return {
        "tags": dict(found.tags),
        "runs": sorted((run_held(client, run, runs) for run in runs), key=json.dumps),
        "models": sorted(map(model_held, models), key=json.dumps),
    }


def run_held(client: MlflowClient, run: Run, others: list[Run]) -> dict[str, Any]:
    run_id = run.info.run_id
    assert run.inputs
    names = {each.info.run_id: each.info.run_name for each in others}
    tags = {k: v for k, v in run.data.tags.items() if k not in VOLATILE_TAGS}
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "parent": names.get(run.data.tags.get("mlflow.parentRunId", "")),
        "params": without_ids(run.data.params),
        "tags": without_ids(tags),
        "metrics": {
            key: [
                (point.step, text_of(point.value))
                for point in client.get_metric_history(run_id, key)
            ]
            for key in sorted(run.data.metrics)
        },
        "inputs": sorted(
            (given.dataset.name, given.dataset.digest, given.dataset.source_type)
            for given in run.inputs.dataset_inputs
        ),
        "outputs": len(run.outputs.model_outputs) if run.outputs else 0,
        "files": sorted(file.path for file in files_of(client, run_id)),
    }


def model_held(model: LoggedModel) -> dict[str, Any]:
    tags = {k: v for k, v in model.tags.items() if k not in VOLATILE_TAGS}
    return {
        "name": model.name,
        "type": model.model_type,
        "status": str(model.status),
        "params": without_ids(model.params),
        "tags": without_ids(tags),
        "metrics": sorted(
            (each.key, text_of(each.value), each.step) for each in model.metrics or []
        ),
    }


def rename(server: Server, experiment: str, name: str) -> None:
    """Make room: another run of the program finds its experiment's name free."""
    with server.client() as client:
        found = client.get_experiment_by_name(experiment)
        assert found, experiment
        client.rename_experiment(found.experiment_id, name)


def without_ids(texts: Mapping[str, str]) -> dict[str, str]:
    return {key: ID.sub("<id>", text) for key, text in sorted(texts.items())}

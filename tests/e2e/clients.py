"""The client environments of real programs, and what a server holds after them.

`make programs` installs them: the newest mlflow 3.x and the last 2.x. A program knows
the address and the token, and nothing else.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from mlflow.entities import LoggedModel, Run
from mlflow.tracking import MlflowClient

from tests.e2e.logged import as_input, text_of
from tests.e2e.running import ROOT

PROGRAMS = ROOT / "tests" / "programs"
NEWEST, LAST_2 = "mlflow3", "mlflow2"
# The one that the tests themselves are written with.
EVERYDAY = ""
# What tells one run of a program from another one: ids, names that the server makes
# up for who gives none, and how long something took.
VOLATILE_TAGS = {
    "mlflow.log-model.history",
    "mlflow.parentRunId",
    "datetime_start",  # Optuna's
    "datetime_complete",
}
ID = re.compile(r"\b(m-)?[0-9a-f]{32}\b")
MADE_UP = re.compile(r"[a-z]+-[a-z]+-[0-9]+")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.\d]*")
MEASURED = re.compile(r"(mean|std)_(fit|score)_time")  # scikit-learn's
# scikit-learn's page of a search tells how long it took, and where objects lie.
IN_PAGES = re.compile(r"[0-9]+\.[0-9]+(e-[0-9]+)?|x[0-9a-f]{12}\b")


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
    commands = Path(sys.executable).parent
    if client != EVERYDAY:
        commands = Path(sys.prefix) / "programs" / client / "bin"
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
    """Return the lines of a program, without those that say where its runs are.

    It runs as a copy: in a working tree it would tell the commit, which may change.
    """
    program = shutil.copy(PROGRAMS / f"{name}.py", folder)
    printed = run_in(client, server, folder, "python", str(program))
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
    names = {each.info.run_id: given_name(each.info.run_name) for each in others}
    tags = {k: v for k, v in run.data.tags.items() if k not in VOLATILE_TAGS}
    tags["mlflow.runName"] = names[run_id] or ""
    return {
        "name": names[run_id],
        "status": run.info.status,
        "parent": names.get(run.data.tags.get("mlflow.parentRunId", "")),
        "params": without_ids(run.data.params),
        "tags": without_ids(tags),
        "metrics": {
            key: [
                (point.step, "" if MEASURED.fullmatch(key) else text_of(point.value))
                for point in client.get_metric_history(run_id, key)
            ]
            for key in sorted(run.data.metrics)
        },
        "inputs": sorted(
            as_input(
                given.dataset.to_dictionary(),
                ((tag.key, tag.value) for tag in given.tags),
            )
            for given in run.inputs.dataset_inputs
        ),
        "outputs": len(run.outputs.model_outputs) if run.outputs else 0,
        "files": files_held(client, run_id),
    }


def files_held(client: MlflowClient, run_id: str) -> dict[str, str]:
    """Return the files of a run by path: their texts, or the digest of the bytes."""
    if not client.list_artifacts(run_id):
        return {}
    with TemporaryDirectory() as folder:
        found = Path(client.download_artifacts(run_id, "", folder))
        return {
            file.relative_to(found).as_posix(): content_held(file)
            for file in sorted(found.rglob("*"))
            if file.is_file()
        }


def content_held(file: Path) -> str:
    content = file.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return sha256(content).hexdigest()
    if file.name == "cv_results.csv":
        return without_measured(text)
    if file.name == "estimator.html":
        return IN_PAGES.sub("<measured>", text)
    return MOMENT.sub("<moment>", ID.sub("<id>", text))


def without_measured(table: str) -> str:
    """Leave out the columns of scikit-learn's that say how long something took."""
    rows = [
        {name: cell for name, cell in row.items() if not MEASURED.fullmatch(name)}
        for row in csv.DictReader(table.splitlines())
    ]
    return json.dumps(rows)


def given_name(name: str | None) -> str | None:
    return "<made up>" if name and MADE_UP.fullmatch(name) else name


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

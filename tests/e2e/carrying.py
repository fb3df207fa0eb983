"""mlflow-export-import, the tool that people move with, and what it has moved."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from mlflow.tracking import MlflowClient

from tests.e2e.clients import Server, run_in
from tests.e2e.logged import files_of, read

PARENT = "mlflow.parentRunId"
# MLflow keeps the history of logged models with the ids of the runs.
HISTORY = "mlflow.log-model.history"


def carry(
    client: str, source: Server, name: str, target: Server, new_name: str, folder: Path
) -> None:
    """Export the experiment of one server, and import it at the other."""
    folder.mkdir()
    out = str(folder / "out")
    take = ("export-experiment", "--experiment", name, "--output-dir", out)
    run_in(client, source, folder, *take)
    put = ("import-experiment", "--experiment-name", new_name, "--input-dir", out)
    run_in(client, target, folder, *put)


def whole(server: Server, experiment: str, folder: Path) -> dict[str, Any]:
    """Read an experiment to the last byte, without ids and times of runs."""
    with server.client() as client:
        found = client.get_experiment_by_name(experiment)
        assert found, experiment
        runs = client.search_runs([found.experiment_id], run_view_type=3)
        names = {run.info.run_id: run.info.run_name for run in runs}
        assert len(set(names.values())) == len(names), "runs are told by their names"
        return {
            "tags": dict(found.tags),
            "lifecycle": found.lifecycle_stage,
            "runs": {
                run.info.run_name: run_of(client, run, names, folder) for run in runs
            },
        }


def run_of(
    client: MlflowClient, run: Any, names: dict[str, str], folder: Path
) -> dict[str, Any]:
    run_id = run.info.run_id
    logged = read(client, run_id, folder)
    logged.files |= recipes(client, run_id, folder)
    parent = logged.tags.pop(PARENT, "")
    logged.tags.pop(HISTORY, None)
    volatile = ("experiment", "start_time", "end_time")
    held = {name: value for name, value in vars(logged).items() if name not in volatile}
    return {
        **held,
        "lifecycle": run.info.lifecycle_stage,
        "user": run.info.user_id,
        "parent": names[parent] if parent else "",
        "outputs": len(run.outputs.model_outputs) if run.outputs else 0,
    }


def recipes(client: MlflowClient, run_id: str, folder: Path) -> dict[str, str]:
    """Digest what a model's MLmodel says: the tool writes it anew, with the new id."""
    found = {}
    for file in files_of(client, run_id):
        if Path(file.path).name == "MLmodel":
            local = Path(client.download_artifacts(run_id, file.path, str(folder)))
            said = yaml.safe_load(local.read_text())
            said.pop("run_id")
            text = json.dumps(said, sort_keys=True, default=str)
            found[file.path] = sha256(text.encode()).hexdigest()
    return found

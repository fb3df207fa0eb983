"""`mlflow.set_workspace`: one token, and a workspace for each project it reaches."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.e2e.running import Platform

pytestmark = pytest.mark.e2e

SCRIPT = """
import json, mlflow
names = [workspace.name for workspace in mlflow.list_workspaces()]
seen = {}
for name in names:
    mlflow.set_workspace(name)
    mlflow.set_experiment(f"of {name}")
    with mlflow.start_run():
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text(f"from {name}", "note.txt")
    (run,) = mlflow.search_runs(output_format="list")
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt")
for name in names:
    mlflow.set_workspace(name)
    seen[name] = [each.name for each in mlflow.search_experiments()]
print(json.dumps(seen))
"""


def test_one_token_logs_to_a_workspace_of_each_project(platform: Platform) -> None:
    admin = platform.connection["ADMIN_USERNAME"]
    place = ("--organization", "demo", "--user", admin)
    wide = platform.manage("issue_token", *place)["token"]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": platform.base_url,
            "MLFLOW_TRACKING_TOKEN": wide,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert len(seen) > 1
    for name, experiments in seen.items():
        ours = [each for each in experiments if each.startswith("of ")]
        assert ours == [f"of {name}"]

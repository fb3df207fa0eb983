"""`mlflow.set_workspace`: one token, and a workspace for each project it reaches."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.e2e

SCRIPT = """
import json, mlflow
names = [workspace.name for workspace in mlflow.list_workspaces()]
for name in names:
    mlflow.set_workspace(name)
    mlflow.set_experiment(f"of {name}")
    with mlflow.start_run():
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text(f"from {name}", "note.txt")
    (run,) = mlflow.search_runs(output_format="list")
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt")
print(json.dumps(names))
"""


def test_one_token_logs_to_a_workspace_of_each_project(
    platform: Platform, tenant: Tenant
) -> None:
    place = ("--organization", tenant.organization)
    platform.manage("create_tenant", *place, "--project", "second")
    wide = platform.manage("issue_token", *place)["token"]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": tenant.base_url,
            "MLFLOW_TRACKING_TOKEN": wide,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert sorted(json.loads(ran.stdout)) == sorted([tenant.project, "second"])
    with tenant.client() as client:
        names = {each.name for each in client.search_experiments()}
    assert f"of {tenant.project}" in names
    assert "of second" not in names

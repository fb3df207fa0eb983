"""Steps through requests: REST, MLflow's protocol and the admin."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.urls import reverse

from audit.tests.complete.by_registry import fresh_experiment, fresh_run, live
from audit.tests.complete.world import Refused, World, step
from monitoring.models import AlertRule
from registry.models import Experiment, LoggedModel, ModelVersion, RegisteredModel, Run
from tenants.models import Project

MOMENT_MS = 1_710_000_000_000


# REST


@step
def rest_changes_organization_and_projects(world: World) -> None:
    world.rest("PATCH", "", name=world.name())
    slug = f"p-{world.name()}"
    world.rest("POST", "projects/", slug=slug, name=world.name())
    world.rest("PATCH", f"projects/{slug}/", description=world.text())
    world.rest("DELETE", f"projects/{slug}/")


@step
def rest_makes_and_changes_models(world: World) -> None:
    made = world.in_fraud("POST", "models/", name=world.name())
    path = f"models/{made['id']}/"
    world.in_fraud("PATCH", path, description=world.text())
    version = world.in_fraud("POST", "model-versions/", model=made["id"])
    of_version = f"model-versions/{version['id']}/"
    world.in_fraud("PATCH", of_version, description=world.text())
    world.in_fraud("POST", f"{path}set-alias/", name="champion", version=1)
    world.in_fraud("DELETE", path)
    if world.choose([True, False]):
        world.in_fraud("POST", f"{path}restore/")


@step
def rest_makes_and_changes_deployments(world: World) -> None:
    version = str(live(world, ModelVersion).pk)
    made = world.in_fraud(
        "POST", "deployments/", name=world.name(), model_version=version
    )
    path = f"deployments/{made['id']}/"
    world.in_fraud("PATCH", path, environment=world.name())
    rule = world.in_fraud(
        "POST",
        "alert-rules/",
        name=world.name(),
        deployment=made["id"],
        metric_name="latency",
        threshold=1.5,
    )
    world.in_fraud("PATCH", f"alert-rules/{rule['id']}/", threshold=2.5)
    world.in_fraud("DELETE", f"alert-rules/{rule['id']}/")
    world.in_fraud("DELETE", path)


@step
def rest_issues_rotates_and_revokes_tokens(world: World) -> None:
    made = world.rest("POST", "tokens/", name=world.name())
    world.rest("POST", f"tokens/{made['id']}/rotate/", overlap_hours=1)
    world.rest("POST", f"tokens/{made['id']}/revoke/")


@step
def rest_adds_and_removes_people(world: World) -> None:
    login = f"{world.name()}@example.org"
    world.rest("POST", "invitations/", email=login, role="member")
    row = world.rest("POST", "service-accounts/", name=world.name())
    world.rest("PATCH", f"service-accounts/{row['id']}/", description="other")
    world.rest("DELETE", f"service-accounts/{row['id']}/")


# MLflow's protocol


@step
def client_logs_a_run(world: World) -> None:
    made = world.hot("experiments/create", name=world.name())
    number = made["experiment_id"]
    run = world.hot("runs/create", experiment_id=number, user_id="carol")
    key = run["run"]["info"]["run_id"]
    point: Any = {"key": "loss", "value": 0.5, "timestamp": MOMENT_MS, "step": 1}
    text = {"key": world.name(), "value": "v"}
    world.hot("runs/log-metric", run_id=key, **point)
    world.hot("runs/log-parameter", run_id=key, **text)
    world.hot("runs/set-tag", run_id=key, **text)
    points = [{**point, "step": n} for n in range(5)]
    batch: Any = {"metrics": points, "params": [text], "tags": [{**text, "value": "w"}]}
    world.hot("runs/log-batch", run_id=key, **batch)
    world.hot("runs/log-batch", run_id=key, **batch)  # a retry stores nothing
    world.hot("runs/delete-tag", run_id=key, key=text["key"])
    world.hot("runs/update", run_id=key, status="FINISHED", end_time=MOMENT_MS)


@step
def client_deletes_and_restores_runs(world: World) -> None:
    run = fresh_run(world)
    world.hot("runs/delete", run_id=run.pk.hex)
    world.hot("runs/restore", run_id=run.pk.hex)
    world.hot("experiments/delete", experiment_id=str(run.experiment.iid))
    if world.choose([True, False]):
        world.hot("experiments/restore", experiment_id=str(run.experiment.iid))


@step
def client_changes_experiments(world: World) -> None:
    number = str(fresh_experiment(world).iid)
    world.hot("experiments/update", experiment_id=number, new_name=world.name())
    world.hot(
        "experiments/set-experiment-tag", experiment_id=number, key="k", value="v"
    )


@step
def client_registers_models(world: World) -> None:
    name = f"m-{world.name()}"
    world.hot("registered-models/create", name=name, description=world.text())
    run = live(world, Run)
    source = f"runs:/{run.pk.hex}/model"
    world.hot("model-versions/create", name=name, source=source, run_id=run.pk.hex)
    world.hot("registered-models/alias", name=name, alias="best", version="1")
    world.hot("registered-models/alias", "DELETE", name=name, alias="best")


@step
def client_uploads_a_file(world: World) -> None:
    run = live(world, Run)
    address = "/mlflow/acme/fraud/ajax-api/2.0/mlflow/upload-artifact"
    query = f"run_id={run.pk.hex}&path=a/{world.name()}.txt"
    world.ask(world.alice, "POST", f"{address}?{query}", b"bytes")


@step
def client_that_retries_makes_one_run(world: World) -> None:
    """MLflow's own client repeats a request whose answer was lost."""
    body: Any = {
        "experiment_id": str(fresh_experiment(world).iid),
        "start_time": int(time.time() * 1000),
        "tags": [{"key": "mlflow.source.name", "value": world.name()}],
    }
    first, second = (world.hot("runs/create", **body) for _ in range(2))
    assert first["run"]["info"]["run_id"] == second["run"]["info"]["run_id"]


@step
def client_makes_a_child(world: World) -> None:
    """Of which there may be two that look the same: neither is taken for the other."""
    run = fresh_run(world)
    number = str(run.experiment.iid)
    tags = [{"key": "mlflow.parentRunId", "value": run.pk.hex}]
    world.hot("runs/create", experiment_id=number, tags=tags)


# Refused


@step
def request_for_what_is_not_there_is_refused(world: World) -> None:
    refused(world, world.alice, 404, "GET", "projects/nothing/runs/")


@step
def client_is_refused_what_is_not_there(world: World) -> None:
    with pytest.raises(Refused) as refusal:
        world.hot("runs/delete", run_id="0" * 32)
    assert refusal.value.status == 404


@step
def viewer_is_refused_to_write(world: World) -> None:
    address = "/mlflow/acme/fraud/api/2.0/mlflow/experiments/create"
    with pytest.raises(Refused) as refusal:
        world.ask(world.bob, "POST", address, {"name": world.name()})
    assert refusal.value.status == 403


@step
def request_of_a_stranger_is_refused(world: World) -> None:
    body = {"name": "mine"}
    refused(world, world.mallory, 404, "PATCH", "projects/fraud/", body)


@step
def request_with_a_wrong_body_is_refused(world: World) -> None:
    refused(world, world.alice, 400, "PATCH", "projects/fraud/", {"name": "x" * 300})


@step
def request_that_conflicts_is_refused(world: World) -> None:
    body = {"slug": "fraud", "name": "again"}
    refused(world, world.alice, 409, "POST", "projects/", body)


def refused(
    world: World, client: Any, status: int, method: str, path: str, body: Any = None
) -> None:
    address = f"/api/v1/organizations/acme/{path}"
    with pytest.raises(Refused) as refusal:
        world.ask(client, method, address, body)
    assert refusal.value.status == status, refusal.value


# The admin


@step
def staff_deletes_and_restores_rows(world: World) -> None:
    model = world.choose([RegisteredModel, Experiment, AlertRule, LoggedModel, Run])
    row = live(world, model)
    reason = f"ticket {world.name()}"
    with_reason = {"confirmed": "1", "reason": reason}
    for action in ("delete_rows", "restore_rows"):
        world.act(action, row, **with_reason)


@step
def staff_deletes_a_project(world: World) -> None:
    world.rest("POST", "projects/", slug=f"p-{world.name()}", name="x")
    row = Project._base_manager.filter(name="x").latest("created_at")
    world.act("delete_rows", row, confirmed="1", reason="a long story")


@step
def staff_makes_an_account(world: World) -> None:
    secret = "a sentence nobody has said before"
    form = {"username": world.name(), "password1": secret, "password2": secret}
    world.admin(reverse("admin:tenants_user_add"), usable_password="true", **form)

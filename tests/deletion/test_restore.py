"""Deleting and restoring over REST: cascades, conflicts, what may be found."""

from __future__ import annotations

import pytest

from audit.models import AuditLog
from monitoring.models import AlertRule
from monitoring.tests.factories import AlertRuleFactory
from registry.models import (
    Deployment,
    Experiment,
    ModelVersion,
    RegisteredModel,
    Run,
)
from registry.tests.factories import (
    DeploymentFactory,
    EvaluationDatasetFactory,
    ExperimentFactory,
    LoggedModelFactory,
    ModelVersionFactory,
    PackageFactory,
    RegisteredModelFactory,
    RunFactory,
)
from registry.tests.maintenance.commands import run as run_command
from tenants.models import Organization, Project, ProjectMember
from tests.deletion.moments import let_pass

FRAUD = "/api/v1/organizations/acme/projects/fraud"


@pytest.fixture
def fraud(cast):
    return cast.fraud


def address(kind: str, row, action: str = "") -> str:
    return f"{FRAUD}/{kind}/{row.pk}/{action}"


def delete(client, kind: str, row) -> None:
    assert client.delete(address(kind, row)).status_code == 204


def post(client, kind: str, row, action: str, body=None):
    words, _, query = action.partition("?")
    place = address(kind, row, f"{words}/") + (f"?{query}" if query else "")
    return client.post(place, body or {}, content_type="application/json")


def told(answer) -> str:
    return answer.json()["error"]["message"]


def ids(client, kind: str, deleted: str = "") -> set[str]:
    query = f"?deleted={deleted}" if deleted else ""
    answer = client.get(f"{FRAUD}/{kind}/{query}")
    assert answer.status_code == 200, answer.content
    return {row["id"] for row in answer.json()["results"]}


MAKERS = {
    "experiments": lambda p: ExperimentFactory(project=p),
    "runs": lambda p: RunFactory(experiment__project=p),
    "logged-models": lambda p: LoggedModelFactory(experiment__project=p),
    "evaluation-datasets": lambda p: EvaluationDatasetFactory(project=p),
    "models": lambda p: RegisteredModelFactory(project=p),
    "model-versions": lambda p: ModelVersionFactory(registered_model__project=p),
    "deployments": lambda p: DeploymentFactory(
        model_version__registered_model__project=p
    ),
    "alert-rules": lambda p: AlertRuleFactory(
        project=p,
        deployment=DeploymentFactory(model_version__registered_model__project=p),
    ),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_deleted_is_found_on_demand_and_comes_back(kind, alice, fraud):
    row = MAKERS[kind](fraud)
    others = ids(alice, kind) - {str(row.pk)}
    delete(alice, kind, row)
    assert ids(alice, kind) == others
    assert ids(alice, kind, "only") == {str(row.pk)}
    assert ids(alice, kind, "with") == others | {str(row.pk)}
    row.refresh_from_db()
    assert row.purge_after > row.deleted_at
    assert post(alice, kind, row, "restore").status_code == 200
    assert ids(alice, kind) == others | {str(row.pk)}
    row.refresh_from_db()
    assert row.purge_after is row.deleted_at is row.delete_batch is None


def test_an_unknown_word_for_deleted_is_refused_by_name(alice, cast):
    answer = alice.get(f"{FRAUD}/runs/?deleted=maybe")
    assert answer.status_code == 400
    assert "deleted='maybe'" in told(answer)


def test_an_experiment_takes_runs_and_logged_models_along_in_one_batch(alice, fraud):
    experiment = ExperimentFactory(project=fraud)
    early, late = RunFactory.create_batch(2, experiment=experiment)
    model = LoggedModelFactory(experiment=experiment, source_run=late)
    delete(alice, "runs", early)
    delete(alice, "experiments", experiment)
    for row in (experiment, early, late, model):
        row.refresh_from_db()
    assert late.delete_batch == model.delete_batch == experiment.delete_batch
    assert early.delete_batch != experiment.delete_batch
    assert post(alice, "experiments", experiment, "restore").status_code == 200
    assert ids(alice, "runs") == {str(late.pk)}
    assert ids(alice, "logged-models") == {str(model.pk)}


CHILDREN = {
    "runs": ("experiments", Experiment, "experiment"),
    "logged-models": ("experiments", Experiment, "experiment"),
    "model-versions": ("models", RegisteredModel, "registered_model"),
}


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_child_of_a_deleted_parent_waits_for_it_or_takes_it_along(kind, alice, fraud):
    child = MAKERS[kind](fraud)
    parents, _, name = CHILDREN[kind]
    parent = getattr(child, name)
    delete(alice, kind, child)
    delete(alice, parents, parent)
    refused = post(alice, kind, child, "restore")
    assert refused.status_code == 409
    assert str(parent.pk) in told(refused)
    assert post(alice, kind, child, "restore?cascade=down").status_code == 400
    assert post(alice, kind, child, "restore?cascade=up").status_code == 200
    assert str(child.pk) in ids(alice, kind)
    assert str(parent.pk) in ids(alice, parents)


def test_a_deployment_and_its_rule_bring_back_all_that_is_above(alice, fraud):
    deployment = DeploymentFactory(
        model_version__registered_model__project=fraud, status="retired"
    )
    rule = AlertRuleFactory(project=fraud, deployment=deployment)
    version = deployment.model_version
    delete(alice, "alert-rules", rule)
    delete(alice, "deployments", deployment)
    delete(alice, "model-versions", version)
    delete(alice, "models", version.registered_model)
    assert post(alice, "alert-rules", rule, "restore").status_code == 409
    assert post(alice, "deployments", deployment, "restore").status_code == 409
    # One step up at a time: the rule's deployment needs its own parents.
    assert post(alice, "alert-rules", rule, "restore?cascade=up").status_code == 409
    assert (
        post(alice, "deployments", deployment, "restore?cascade=up").status_code == 200
    )
    assert post(alice, "alert-rules", rule, "restore?cascade=up").status_code == 200
    for model in (AlertRule, Deployment, ModelVersion, RegisteredModel):
        assert not model._base_manager.filter(deleted_at__isnull=False).exists()


def test_only_a_maintainer_restores_upwards(cast, alice, bob):
    run = RunFactory(experiment__project=cast.fraud, created_by=cast.bob.pk)
    ProjectMember._base_manager.filter(user=cast.bob).update(role="editor")
    delete(alice, "experiments", run.experiment)
    assert post(bob, "runs", run, "restore?cascade=up").status_code == 403
    assert post(bob, "runs", run, "restore").status_code == 409


@pytest.mark.parametrize("kind", ["models", "deployments", "alert-rules"])
def test_a_name_that_was_taken_meanwhile_is_told_with_both_ids(kind, alice, fraud):
    row = MAKERS[kind](fraud)
    delete(alice, kind, row)
    twin = type(row)(
        **{
            field.name: getattr(row, field.name)
            for field in row._meta.concrete_fields
            if field.name not in {"id", "created_at", "updated_at"}
        }
    )
    twin.save(force_insert=True)
    answer = post(alice, kind, row, "restore")
    assert answer.status_code == 409
    message = told(answer)
    assert str(row.pk) in message
    assert str(twin.pk) in message
    assert f"{row.name}-restored" in message


def test_a_suggested_name_is_free(alice, fraud):
    row = RegisteredModelFactory(project=fraud, name="churn")
    delete(alice, "models", row)
    RegisteredModelFactory(project=fraud, name="churn")
    RegisteredModelFactory(project=fraud, name="churn-restored")
    answer = post(alice, "models", row, "restore")
    assert "churn-restored-2" in told(answer)


def test_a_package_whose_name_is_taken_is_told_with_both_ids(alice, fraud):
    row = PackageFactory(project=fraud, name="data", version="1")
    delete(alice, "packages", row)
    twin = PackageFactory(project=fraud, name="data", version="1")
    answer = post(alice, "packages", row, "restore")
    assert answer.status_code == 409
    assert str(row.pk) in told(answer)
    assert str(twin.pk) in told(answer)


def test_a_full_project_takes_no_restored_model(alice, fraud, settings):
    row = RegisteredModelFactory(project=fraud)
    delete(alice, "models", row)
    RegisteredModelFactory(project=fraud)
    settings.OBJECT_LIMITS = {**settings.OBJECT_LIMITS, "project_models": 1}
    answer = post(alice, "models", row, "restore")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "limit_exceeded"


@pytest.mark.parametrize("kind", ["model-versions", "models"])
def test_a_version_that_serves_is_not_deleted(kind, alice, fraud):
    deployment = DeploymentFactory(model_version__registered_model__project=fraud)
    version = deployment.model_version
    row = version if kind == "model-versions" else version.registered_model
    answer = alice.delete(address(kind, row))
    assert answer.status_code == 409
    assert str(deployment.pk) in told(answer)
    Deployment._base_manager.update(status="retired")
    delete(alice, kind, row)


def test_a_deleted_run_is_read_and_not_written(alice_in_fraud, alice, fraud):
    run = RunFactory(experiment__project=fraud)
    delete(alice, "runs", run)
    found = alice_in_fraud.get(f"/api/2.0/mlflow/runs/get?run_id={run.pk.hex}")
    assert found.json()["run"]["info"]["lifecycle_stage"] == "deleted"
    written = alice_in_fraud.post(
        "/api/2.0/mlflow/runs/log-parameter",
        {"run_id": run.pk.hex, "key": "depth", "value": "3"},
        content_type="application/json",
    )
    assert written.status_code == 400
    assert written.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_the_name_of_a_deleted_experiment_stays_taken_until_its_purge(
    alice_in_fraud, alice, fraud
):
    experiment = ExperimentFactory(project=fraud, name="trees")
    delete(alice, "experiments", experiment)
    again = {"name": "trees"}
    create = "/api/2.0/mlflow/experiments/create"
    json = "application/json"
    taken = alice_in_fraud.post(create, again, content_type=json)
    assert taken.json()["error_code"] == "RESOURCE_ALREADY_EXISTS"
    let_pass(Experiment)
    run_command("purge", "--yes")
    assert alice_in_fraud.post(create, again, content_type=json).status_code == 200


def test_the_name_of_a_deleted_model_is_free_at_once(alice, fraud):
    row = RegisteredModelFactory(project=fraud, name="churn")
    delete(alice, "models", row)
    made = alice.post(
        f"{FRAUD}/models/", {"name": "churn"}, content_type="application/json"
    )
    assert made.status_code == 201


# Purging one thing


def ask(client, kind: str, row, **body):
    return post(client, kind, row, "purge", {"reason": "a customer's file", **body})


@pytest.mark.parametrize("kind", ["experiments", "runs", "models"])
def test_what_somebody_purges_by_name_goes_with_the_next_purge(kind, alice, fraud):
    row = MAKERS[kind](fraud)
    assert ask(alice, kind, row, confirm=row.name).status_code == 409
    delete(alice, kind, row)
    wrong = ask(alice, kind, row, confirm="something else")
    assert wrong.status_code == 400
    assert "confirm='something else'" in told(wrong)
    asked = ask(alice, kind, row, confirm=row.name)
    assert asked.status_code == 202, asked.content
    assert asked.json()["id"] == str(row.pk)
    run_command("purge", "--yes")
    assert not type(row)._base_manager.filter(pk=row.pk).exists()
    assert alice.get(address(kind, row)).status_code == 404


def test_a_purge_needs_a_reason_and_keeps_it_in_the_trail(alice, cast):
    row = RunFactory(experiment__project=cast.fraud)
    delete(alice, "runs", row)
    assert ask(alice, "runs", row, confirm=row.name, reason=" ").status_code == 400
    ask(alice, "runs", row, confirm=row.name)
    entries = AuditLog._base_manager.filter(reason="a customer's file")
    assert {"run.purge_asked", "registry.run.updated"} <= {e.action for e in entries}


def test_until_a_purge_has_begun_a_restore_prevents_it(alice, fraud):
    row = RunFactory(experiment__project=fraud)
    delete(alice, "runs", row)
    ask(alice, "runs", row, confirm=row.name)
    assert post(alice, "runs", row, "restore").status_code == 200
    run_command("purge", "--yes")
    assert Run._base_manager.filter(pk=row.pk, deleted_at=None).exists()


def test_what_is_being_purged_does_not_come_back(alice, fraud):
    row = RunFactory(experiment__project=fraud)
    delete(alice, "experiments", row.experiment)
    row.refresh_from_db()
    Run._base_manager.filter(pk=row.pk).update(purge_after=row.deleted_at)
    answer = post(alice, "experiments", row.experiment, "restore")
    assert answer.status_code == 409
    assert str(row.pk) in told(answer)


def test_a_legal_hold_refuses_a_purge_with_its_reason(alice, cast):
    row = RunFactory(experiment__project=cast.fraud)
    delete(alice, "runs", row)
    Organization._base_manager.filter(pk=cast.acme.pk).update(
        legal_hold=True, legal_hold_reason="case 7"
    )
    answer = ask(alice, "runs", row, confirm=row.name)
    assert answer.status_code == 409
    assert "case 7" in told(answer)


def test_what_a_version_was_made_of_is_not_purged(alice, fraud):
    run = RunFactory(experiment__project=fraud)
    ModelVersionFactory(registered_model__project=fraud, run=run)
    delete(alice, "runs", run)
    assert ask(alice, "runs", run, confirm=run.name).status_code == 409


def test_only_owners_and_admins_purge(cast, alice, bob):
    ProjectMember._base_manager.filter(user=cast.bob).update(role="maintainer")
    row = RunFactory(experiment__project=cast.fraud)
    delete(bob, "runs", row)
    assert ask(bob, "runs", row, confirm=row.name).status_code == 403
    assert ask(alice, "runs", row, confirm=row.name).status_code == 202


@pytest.mark.parametrize("kind", ["experiments", "runs", "models"])
def test_a_stranger_finds_nothing_to_purge(kind, mallory, alice, fraud):
    row = MAKERS[kind](fraud)
    delete(alice, kind, row)
    assert ask(mallory, kind, row, confirm=row.name).status_code == 404


def test_restoring_a_project_gives_what_was_before(alice, fraud, bob):
    run = RunFactory(experiment__project=fraud)
    projects = "/api/v1/organizations/acme/projects"
    assert alice.delete(f"{projects}/fraud/").status_code == 204
    assert alice.get(f"{FRAUD}/runs/").status_code == 404
    run.refresh_from_db()
    assert run.deleted_at is None
    restored = alice.post(f"{projects}/fraud/restore/")
    assert restored.status_code == 200
    assert ids(alice, "runs") == {str(run.pk)}
    assert ids(bob, "runs") == {str(run.pk)}


def test_a_purged_project_is_not_restored(alice, fraud):
    projects = "/api/v1/organizations/acme/projects"
    assert alice.delete(f"{projects}/fraud/").status_code == 204
    let_pass(Project)
    run_command("purge", "--yes")
    answer = alice.post(f"{projects}/fraud/restore/")
    assert answer.status_code == 409
    assert "purged" in told(answer)
    taken = {"slug": "fraud", "name": "Another"}
    made = alice.post(f"{projects}/", taken, content_type="application/json")
    assert made.status_code == 409


def test_all_children_of_a_deletion_bear_its_batch(alice, fraud):
    experiment = ExperimentFactory(project=fraud)
    RunFactory.create_batch(30, experiment=experiment)
    delete(alice, "experiments", experiment)
    rows = Run._base_manager.order_by().values_list("delete_batch", flat=True)
    experiment.refresh_from_db()
    assert set(rows) == {experiment.delete_batch}

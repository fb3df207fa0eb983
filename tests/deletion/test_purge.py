"""What was deleted long enough ago goes for good, and nothing else does."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from django.apps import apps
from django.db import connection

from audit.models import AuditLog
from mlops.cli import UsageError
from mlops.db.locks import advisory_key
from mlops.db.uuid7 import uuid7
from registry import jobs
from registry.models import (
    Blob,
    Deployment,
    Experiment,
    LatestMetric,
    LoggedModel,
    LoggedModelMetric,
    Metric,
    ModelVersion,
    Package,
    PackageFile,
    Param,
    RegisteredModel,
    Run,
)
from registry.services import deployments, experiments, models, purging, runs, versions
from registry.sql import purging as sql
from registry.tests.factories import (
    DeploymentFactory,
    ExperimentFactory,
    LoggedModelFactory,
    ModelVersionFactory,
    RunFactory,
    candidate_package,
    model_package,
)
from registry.tests.maintenance.commands import maintenance_role
from registry.tests.maintenance.commands import run as run_command
from tenants.context import acting_as
from tenants.models import Organization, Project, SoftDeleted
from tenants.services import organizations, projects
from tests.access.rows import populate
from tests.deletion.moments import let_pass
from tests.settings import SUPERUSER_URL, TEST_DATABASE

EVERY = [m for m in apps.get_models() if issubclass(m, SoftDeleted)]


@pytest.fixture
def in_acme(cast):
    with acting_as("command:test", organization=cast.acme.pk):
        yield cast


def purge(*words: str):
    return run_command("purge", "--yes", *words)


def log(run: Run, points: int = 3) -> None:
    Metric.objects.bulk_create(
        Metric(
            id=uuid7(),
            organization_id=run.organization_id,
            run=run,
            name="loss",
            value=float(step),
            timestamp_ms=step,
            step=step,
        )
        for step in range(points)
    )
    owner = {"organization_id": run.organization_id, "experiment_id": run.experiment_id}
    Param.objects.bulk_create([Param(**owner, run=run, key="depth", value="3")])
    LatestMetric.objects.bulk_create(
        [
            LatestMetric(
                **owner, id=uuid7(), run=run, name="loss", value=1.0, timestamp_ms=1
            )
        ]
    )


def test_a_run_goes_with_all_it_logged_when_its_time_is_over(in_acme):
    kept, gone = (RunFactory(experiment__project=in_acme.fraud) for _ in range(2))
    for each in (kept, gone):
        log(each)
        candidate_package(each, files=2)
    runs.delete_run(gone)
    assert purge().told["purged"] == {}
    let_pass(Run)
    told = purge().told
    assert told["purged"] == {"run": 1}
    assert told["rows"]["run_metrics"] == 3
    assert told["rows"]["package_files"] == 2
    assert set(Run.objects.with_deleted()) == {kept}
    assert Metric.objects.count() == 3
    assert Package.objects.with_deleted().count() == 1


def test_the_bytes_of_a_purged_run_wait_a_day_for_a_restored_backup(in_acme):
    run = RunFactory(experiment__project=in_acme.fraud)
    candidate_package(run, files=1)
    Blob.objects.update(created_at="2026-01-01T00:00Z")
    runs.delete_run(run)
    let_pass(Run)
    purge()
    assert not PackageFile.objects.exists()
    run_command("cleanup_packages", "--yes")
    assert Blob.objects.count() == 1
    Blob.objects.update(released_at="2026-01-02T00:00Z")
    told = run_command("cleanup_packages").told
    assert told["blobs"] == 1


def test_an_experiment_goes_with_its_runs_and_logged_models(in_acme):
    experiment = ExperimentFactory(project=in_acme.fraud)
    run = RunFactory(experiment=experiment)
    log(run)
    model_package(LoggedModelFactory(experiment=experiment, source_run=run), files=1)
    experiments.delete_experiment(experiment)
    assert not run.experiment.runs.exists()
    let_pass(Experiment, Run, LoggedModel)
    told = purge().told
    assert told["purged"] == {"experiment": 1, "run": 1, "logged model": 1}
    assert not Package.objects.with_deleted().exists()
    assert not Metric.objects.exists()


def test_a_surviving_model_keeps_what_a_purged_run_has_logged_of_it(in_acme):
    experiment = ExperimentFactory(project=in_acme.fraud)
    run = RunFactory(experiment=experiment)
    model = LoggedModelFactory(experiment=experiment, source_run=run)
    LoggedModelMetric.objects.create(
        id=uuid7(),
        organization_id=run.organization_id,
        logged_model=model,
        run=run,
        name="auc",
        value=0.9,
        timestamp_ms=1,
    )
    runs.delete_run(run)
    let_pass(Run)
    assert purge().told["purged"] == {"run": 1}
    model.refresh_from_db()
    assert model.source_run is None
    assert model.source_run_text == run.pk.hex
    assert model.metrics.count() == 1


def test_what_a_model_version_was_made_of_stays_with_it(in_acme):
    run = RunFactory(experiment__project=in_acme.fraud)
    package = candidate_package(run, files=1)
    version = ModelVersionFactory(
        registered_model__project=in_acme.fraud, run=run, package=package
    )
    experiments.delete_experiment(run.experiment)
    let_pass(Experiment, Run)
    told = purge().told
    assert told["purged"] == {}
    assert told["held"] == {"experiment": 1, "run": 1}
    assert run_command("purge").told["held"] == {"experiment": 1, "run": 1}
    versions.delete_version(version)
    let_pass(ModelVersion)
    assert purge().told["purged"] == {"model version": 1, "run": 1, "experiment": 1}


def test_a_version_stays_while_a_deployment_names_it(in_acme):
    deployment = DeploymentFactory(
        model_version__registered_model__project=in_acme.fraud, status="retired"
    )
    model = deployment.model_version.registered_model
    models.delete_model(model)
    let_pass(RegisteredModel, ModelVersion)
    assert purge().told["held"] == {"model version": 1, "registered model": 1}
    deployments.delete_deployment(deployment)
    let_pass(Deployment)
    told = purge().told
    assert told["purged"] == {
        "deployment": 1,
        "model version": 1,
        "registered model": 1,
    }


def test_a_dry_run_counts_what_a_purge_removes(in_acme):
    for _ in range(3):
        run = RunFactory(experiment__project=in_acme.fraud)
        log(run)
        runs.delete_run(run)
    let_pass(Run)
    planned = run_command("purge", "--dry-run", "--yes").told
    assert not planned["applied"]
    assert Run.objects.with_deleted().count() == 3
    done = purge().told
    assert planned["purged"] == done["purged"] == {"run": 3}
    assert planned["rows"] == done["rows"]


def test_batches_smaller_than_a_run_take_it_bit_by_bit(in_acme):
    for _ in range(2):
        run = RunFactory(experiment__project=in_acme.fraud)
        log(run, points=25)
        runs.delete_run(run)
    let_pass(Run)
    told = purge("--batch", "10").told
    assert told["purged"] == {"run": 2}
    assert told["rows"]["run_metrics"] == 50
    entries = AuditLog.objects.filter(action="batch.purged")
    assert all(sum(each.after["rows"].values()) <= 10 for each in entries)


def test_the_trail_tells_of_a_purge_by_batches_and_never_by_points(in_acme):
    run = RunFactory(experiment__project=in_acme.fraud)
    log(run, points=30)
    runs.delete_run(run)
    let_pass(Run)
    before = set(AuditLog.objects.values_list("pk", flat=True))
    purge()
    entries = AuditLog.objects.exclude(pk__in=before).order_by("pk")
    assert sorted(each.action for each in entries) == [
        "batch.purged",
        "registry.run.deleted",
    ]
    (entry,) = (each for each in entries if each.action == "batch.purged")
    assert entry.after["ids"] == [str(run.pk)]
    assert entry.after["rows"]["run_metrics"] == 30
    (digest,) = entry.after["sha256"]["run_metrics"]
    assert len(digest) == 64
    assert entry.actor_label == "purge"
    assert entry.object_id == run.pk


def test_nothing_of_an_organization_on_legal_hold_goes(in_acme):
    run = RunFactory(experiment__project=in_acme.fraud)
    runs.delete_run(run)
    let_pass(Run)
    Organization.objects.filter(pk=in_acme.acme.pk).update(
        legal_hold=True, legal_hold_reason="case 7"
    )
    told = purge().told
    assert told["on_hold"] == ["acme"]
    assert told["purged"] == {}
    assert run_command("purge").told["on_hold"] == ["acme"]
    assert Run.objects.with_deleted().count() == 1


def test_a_retention_of_a_week_is_over_after_a_week(in_acme):
    Organization.objects.filter(pk=in_acme.acme.pk).update(retention_days=7)
    run = RunFactory(experiment__project=in_acme.fraud)
    runs.delete_run(run)
    let_pass(Run, time=timedelta(days=6, hours=23))
    assert purge().told["purged"] == {}
    let_pass(Run, time=timedelta(hours=2))
    assert purge().told["purged"] == {"run": 1}


def test_older_than_overrides_what_was_promised(in_acme):
    run = RunFactory(experiment__project=in_acme.fraud)
    runs.delete_run(run)
    let_pass(Run, time=timedelta(days=3))
    assert purge("--older-than", "4d").told["purged"] == {}
    assert purge("--older-than", "2").told["purged"] == {"run": 1}


def test_named_runs_and_experiments_go_at_once_and_others_stay(in_acme):
    first, second, alive = (
        RunFactory(experiment__project=in_acme.fraud) for _ in range(3)
    )
    runs.delete_run(first)
    runs.delete_run(second)
    names = ",".join(each.pk.hex for each in (first, alive))
    assert purge("--runs", names).told["purged"] == {"run": 1}
    assert set(Run.objects.with_deleted()) == {second, alive}
    experiments.delete_experiment(second.experiment)
    words = ("--organization", "acme", "--project", "fraud", "--experiments")
    told = purge(*words, str(second.experiment.iid)).told
    assert told["purged"]["experiment"] == 1
    assert set(Run.objects.with_deleted()) == {alive}


@pytest.mark.parametrize(
    "words,named",
    [
        (("--older-than", "soon"), "--older-than"),
        (("--runs", "one"), "--runs"),
        (("--experiments", "1"), "--project"),
        (("--batch", "0"), "--batch"),
        (("--max-seconds", "0"), "--max-seconds"),
        (("--project", "fraud"), "--organization"),
        (("--organization", "nobody"), "nobody"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(cast, words, named):
    with pytest.raises(UsageError, match=named):
        purge(*words)


def test_time_that_runs_out_is_a_warning_and_the_next_purge_goes_on(in_acme):
    for _ in range(3):
        run = RunFactory(experiment__project=in_acme.fraud)
        log(run, points=20)
        runs.delete_run(run)
    let_pass(Run)
    outcome = purge("--batch", "1", "--max-seconds", "0.000001")
    assert outcome.code == 1
    assert outcome.told["findings"][0]["check"] == "stopped"
    assert purge().code == 0
    assert not Run.objects.with_deleted().exists()


def test_what_another_hand_deleted_is_dated_first_and_goes_later(in_acme):
    run = RunFactory(experiment__project=in_acme.fraud)
    Run.objects.filter(pk=run.pk).update(deleted_at="2026-11-01T00:00Z")
    assert purge().told["purged"] == {}
    run = Run.objects.with_deleted().get(pk=run.pk)
    assert run.purge_after == run.deleted_at + timedelta(days=30)


def test_a_purged_run_is_not_found(in_acme, alice_in_fraud):
    run = RunFactory(experiment__project=in_acme.fraud)
    runs.delete_run(run)
    let_pass(Run)
    purge()
    answer = alice_in_fraud.get(f"/api/2.0/mlflow/runs/get?run_id={run.pk.hex}")
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


# Projects and organizations


def rows_left(organization: Organization) -> dict[str, int]:
    """How many rows are left of it, by table, whatever models there are."""
    left = {}
    for model in apps.get_models():
        columns = {field.column for field in model._meta.concrete_fields}
        if "organization_id" not in columns or model._meta.app_label == "audit":
            continue
        found = model._base_manager.filter(organization_id=organization.pk).count()
        if found:
            left[model._meta.db_table] = found
    return left


def test_a_purged_project_leaves_its_address_and_nothing_else(in_acme, store):
    populate(in_acme.fraud, "qz", 5)
    before = rows_left(in_acme.umbrella)
    projects.delete_project(in_acme.fraud)
    let_pass(Project)
    assert purge().told["purged"]["project"] == 1
    in_acme.fraud.refresh_from_db()
    assert in_acme.fraud.purged_at is not None
    assert in_acme.fraud.slug == in_acme.fraud.name == "fraud"
    for model in apps.get_models():
        names = {field.name for field in model._meta.concrete_fields}
        if "project" in names:
            assert not model._base_manager.filter(project=in_acme.fraud).exists(), model
    assert rows_left(in_acme.umbrella) == before
    assert purge().told["purged"] == {}
    let_pass(Project)
    assert purge().told["purged"] == {"project": 1}
    assert not Project.objects.with_deleted().filter(slug="fraud").exists()


def test_a_purged_organization_leaves_its_address_and_its_trail(cast, store):
    populate(cast.fraud, "qz", 5)
    with acting_as("command:test", organization=cast.acme.pk):
        organizations.delete_organization(cast.acme)
    let_pass(Organization)
    entries = AuditLog._base_manager.filter(organization_id=cast.acme.pk)
    count = entries.count()
    purge()
    # Its bytes wait for a day; then the sweep takes them, and the purge goes on.
    left = rows_left(cast.acme)
    assert set(left) == {"blobs"}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE blobs SET created_at = '2026-01-01', released_at = NULL")
    run_command("cleanup_packages", "--yes", "--blob-grace-hours", "1")
    if rows_left(cast.acme):
        Blob._base_manager.filter(organization_id=cast.acme.pk).delete()
    purge()
    assert rows_left(cast.acme) == {}
    cast.acme.refresh_from_db()
    assert cast.acme.purged_at is not None
    assert entries.count() > count
    assert Organization._base_manager.filter(slug="acme").exists()


def test_every_root_comes_before_what_it_refers_to():
    order = purging.roots()
    assert set(order) == set(EVERY)
    for place, model in enumerate(order):
        for field in model._meta.concrete_fields:
            if field.related_model in order and field.related_model is not model:
                assert order.index(field.related_model) > place, (model, field)


# By the clock, and beside others


def test_the_job_purges_what_is_due_everywhere(cast):
    gone = []
    for project in (cast.fraud, cast.umbrella_fraud):
        run = RunFactory(experiment__project=project)
        log(run)
        with acting_as("command:test", organization=project.organization_id):
            runs.delete_run(run)
        gone.append(run.pk)
    let_pass(Run)
    young = RunFactory(experiment__project=cast.churn)
    with acting_as("command:test", organization=cast.acme.pk):
        runs.delete_run(young)
    with maintenance_role():
        jobs.purge_deleted(0)
    assert set(Run._base_manager.values_list("pk", flat=True)) == {young.pk}


def test_the_job_says_once_what_is_on_legal_hold(cast, caplog):
    run = RunFactory(experiment__project=cast.fraud)
    with acting_as("command:test", organization=cast.acme.pk):
        runs.delete_run(run)
    let_pass(Run)
    Organization._base_manager.filter(pk=cast.acme.pk).update(legal_hold=True)
    with maintenance_role():
        jobs.purge_deleted(0)
    held = [each for each in caplog.messages if "on legal hold" in each]
    assert len(held) == 1
    assert "acme" in held[0]
    assert Run._base_manager.filter(pk=run.pk).exists()


def test_the_nightly_job_dates_what_another_hand_deleted(cast):
    run = RunFactory(experiment__project=cast.fraud)
    Run._base_manager.filter(pk=run.pk).update(deleted_at="2026-11-01T00:00Z")
    with maintenance_role():
        jobs.plan_purges(0)
    run.refresh_from_db()
    assert run.purge_after == run.deleted_at + timedelta(days=30)


def test_cleaning_and_sweeping_stop_at_a_legal_hold(cast):
    run = RunFactory(experiment__project=cast.fraud)
    package = candidate_package(run, files=1)
    long_ago = "2026-01-01T00:00Z"
    Package._base_manager.filter(pk=package.pk).update(
        status="pending_destruction", deleted_at=long_ago, purge_after=long_ago
    )
    Organization._base_manager.filter(pk=cast.acme.pk).update(legal_hold=True)
    words = ("cleanup_packages", "--organization", "acme", "--yes")
    assert run_command(*words).told["destroyed"] == 0
    assert Package._base_manager.filter(pk=package.pk).exists()
    Organization._base_manager.filter(pk=cast.acme.pk).update(legal_hold=False)
    assert run_command(*words).told["destroyed"] == 1


def test_two_purges_of_an_organization_do_not_meet(in_acme):
    run = RunFactory(experiment__project=in_acme.fraud)
    runs.delete_run(run)
    let_pass(Run)
    key = advisory_key(f"purge:{in_acme.acme.pk}")
    with psycopg.connect(SUPERUSER_URL, dbname=TEST_DATABASE) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [key])
        outcome = purge("--organization", "acme")
        assert outcome.code == 3
        assert outcome.told["not_checked"][0]["check"] == "acme"
    assert purge("--organization", "acme").told["purged"] == {"run": 1}


def test_much_that_is_deleted_is_a_finding(in_acme):
    RunFactory.create_batch(10, experiment=ExperimentFactory(project=in_acme.fraud))
    Run._base_manager.update(deleted_at="2026-11-21T00:00Z")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE experiment_runs")
    assert purging.deleted_shares("default") == []  # too few rows to tell
    shares = sql.deleted_shares("default", ["experiment_runs"], smallest=5)
    assert shares == [("experiment_runs", 1.0)]

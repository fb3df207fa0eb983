from __future__ import annotations

import math

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.models import AuditLog
from mlops.db.uuid7 import fact_id, uuid7
from registry import models
from registry.admin.charts import figure, figures, fraction, shares
from registry.sql.curves import sample_curves
from registry.tests.factories import (
    DeploymentFactory,
    ExperimentFactory,
    ModelVersionFactory,
    PackageFactory,
    PackageFileFactory,
    RegisteredModelFactory,
    RunFactory,
    candidate_package,
)
from tenants.tests.superuser import (
    AdminClient,
    messages_of,
    page_of,
    rows_of,
    shown,
    superuser,
)


@pytest.fixture
def root(db) -> AdminClient:
    return superuser()


@pytest.fixture
def run(cast):
    experiment = ExperimentFactory(project=cast.fraud, name="forest")
    return RunFactory(experiment=experiment, name="brisk-otter")


def log_metric(run: models.Run, name: str, values: list[float]) -> None:
    """Store one value per step, and the newest as the latest."""
    owner = run.organization_id
    points = [
        models.Metric(
            id=fact_id(step, run.pk, name, step),
            organization_id=owner,
            run=run,
            name=name,
            value=value,
            timestamp_ms=step,
            step=step,
        )
        for step, value in enumerate(values)
    ]
    models.Metric._base_manager.bulk_create(points)
    models.LatestMetric(
        id=uuid7(),
        organization_id=owner,
        experiment_id=run.experiment_id,
        run=run,
        name=name,
        value=values[-1],
        timestamp_ms=len(values),
        step=len(values) - 1,
    ).save()


# Lists


def aliased_versions(number):
    for version in ModelVersionFactory.create_batch(number):
        models.Alias(
            organization=version.organization,
            registered_model=version.registered_model,
            name="champion",
            model_version=version,
        ).save()


def runs_with_files(number):
    for run in RunFactory.create_batch(number):
        candidate_package(run, files=3)


def datasets(number):
    for experiment in ExperimentFactory.create_batch(number):
        models.Dataset(
            organization=experiment.organization,
            experiment=experiment,
            name="transactions",
            digest="d1",
            source_type="s3",
            source="{}",
        ).save()


def params(number):
    for run in RunFactory.create_batch(number):
        models.Param(
            organization=run.organization,
            experiment_id=run.experiment_id,
            run=run,
            key="depth",
            value="3",
        ).save()


def metrics(number):
    for run in RunFactory.create_batch(number):
        log_metric(run, "loss", [0.5, 0.25])


LISTS = {
    "registry_experiment": lambda n: [
        RunFactory(experiment=each) for each in ExperimentFactory.create_batch(n)
    ],
    "registry_run": runs_with_files,
    "registry_registeredmodel": aliased_versions,
    "registry_modelversion": aliased_versions,
    "registry_package": PackageFileFactory.create_batch,
    "registry_deployment": DeploymentFactory.create_batch,
    "registry_dataset": datasets,
    "registry_packagefile": PackageFileFactory.create_batch,
    "registry_blob": PackageFileFactory.create_batch,
    "registry_alias": aliased_versions,
    "registry_param": params,
    "registry_metric": metrics,
    "registry_latestmetric": metrics,
}


@pytest.mark.parametrize("model", LISTS)
def test_a_list_costs_the_same_for_any_number_of_rows(root, model):
    LISTS[model](1)
    counts = [root.statements(model)]
    for more in (19, 40):
        LISTS[model](more)
        counts.append(root.statements(model))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 12  # with SET ROLE, savepoints, session, user and the trail


def test_the_run_list_shows_each_run_with_its_own_package(root, cast, make_runs):
    ours = make_runs(2, files=0)
    package = candidate_package(ours[0])
    for path in ("model/MLmodel", "model/conda.yaml", "model/model.bin", "plots/roc"):
        PackageFileFactory(package=package, path=path, size_bytes=1_000_000)
    # The same number in a project of the same name elsewhere is another run.
    twin = RunFactory(
        experiment=ExperimentFactory(project=cast.umbrella_fraud), iid=ours[0].iid
    )
    response = root.listed("registry_run")
    assert [row.package for row in rows_of(response)] == [None, None, package]
    page = shown(response)
    assert "4 files · 4.0 MB" in page
    assert "model/MLmodel, model/conda.yaml, model/model.bin, …" in page
    assert "plots/roc" not in page
    assert twin.name in page


def test_the_run_list_reads_no_file_row_by_row(root, make_runs):
    make_runs(30, files=4)
    with CaptureQueriesContext(connection) as captured:
        root.listed("registry_run")
    of_packages = [q["sql"] for q in captured if 'FROM "packages"' in q["sql"]]
    assert len(of_packages) == 1


@pytest.mark.parametrize("words", ["brisk", "number", "hex"])
def test_runs_are_found_by_name_number_and_id(root, run, words):
    RunFactory(experiment=run.experiment, name="calm-hare")
    words = {"number": str(run.iid), "hex": run.pk.hex}.get(words, words)
    assert rows_of(root.listed("registry_run", q=words)) == [run]


def test_a_number_too_large_for_any_run_finds_nothing(root, run):
    assert rows_of(root.listed("registry_run", q="9" * 40)) == []


@pytest.mark.parametrize(
    "chosen,expected",
    [({"status__exact": "FAILED"}, 1), ({"status__exact": "KILLED"}, 0)],
)
def test_runs_can_be_narrowed_by_status(root, run, chosen, expected):
    RunFactory(experiment=run.experiment, status="FAILED")
    assert len(rows_of(root.listed("registry_run", **chosen))) == expected


def test_runs_can_be_narrowed_by_age_and_state(root, run):
    assert rows_of(root.listed("registry_run", age="1", state="live")) == [run]
    assert rows_of(root.listed("registry_run", age="1", state="deleted")) == []


def test_runs_can_be_narrowed_by_experiment(root, run, make_runs):
    make_runs(2)
    chosen = {"experiment__id__exact": str(run.experiment_id)}
    assert rows_of(root.listed("registry_run", **chosen)) == [run]


# A run's page


def test_a_run_shows_what_was_logged(root, run):
    owner = {"organization": run.organization, "run": run}
    below = {**owner, "experiment_id": run.experiment_id}
    models.Param(**below, key="max_depth", value="7").save()
    models.RunTag(**below, key="team", value="<b>risk</b>").save()
    log_metric(run, "val_auc", [0.5, 0.75, 0.875])
    PackageFileFactory(package=candidate_package(run), path="model/MLmodel")
    data = models.Dataset(
        organization=run.organization,
        experiment=run.experiment,
        name="transactions",
        digest="d1",
        source_type="s3",
        source='{"uri": "s3://lake/t"}',
    )
    data.save()
    context = [{"key": "mlflow.data.context", "value": "training"}]
    models.RunInput(**owner, dataset=data, tags=context).save()
    page = shown(root.opened(run))
    for piece in ("max_depth", ">7<", "val_auc", "0.875", "model/MLmodel", run.pk.hex):
        assert piece in page
    for piece in ("transactions", "training", "s3://lake/t", "<svg"):
        assert piece in page
    assert "&lt;b&gt;risk" in page
    assert "<b>risk" not in page


def test_a_run_page_costs_the_same_for_any_number_of_facts(root, run):
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert root.opened(run).status_code == 200
        return len(captured)

    log_metric(run, "loss", [1, 2])
    few = cost()
    for n in range(30):
        log_metric(run, f"metric-{n}", [1, 2, 3])
    assert cost() == few <= 26


def test_a_run_without_a_course_shows_no_curves(root, run):
    log_metric(run, "accuracy", [0.9])
    page = shown(root.opened(run))
    assert "accuracy" in page
    assert "<svg" not in page


def test_a_run_with_a_time_beyond_all_calendars_opens(root, run):
    models.Run._base_manager.filter(pk=run.pk).update(
        start_time_ms=2**62, end_time_ms=1
    )
    assert root.opened(run).status_code == 200
    assert root.listed("registry_run").status_code == 200


def test_the_history_of_a_run_is_its_part_of_the_trail(root, run):
    page = shown(root.get(page_of(run, "history"), follow=True))
    assert f"History of run {run.name}" in page
    assert "registry.run.created" in page
    assert "registry.experiment.created" not in page


# Curves


def test_a_long_curve_is_sampled_from_its_first_to_its_last_step(run):
    log_metric(run, "loss", [float(step) for step in range(3000)])
    curves = sample_curves(
        "default", run.organization_id, run.pk, ["loss", "absent"], points=50
    )
    assert list(curves) == ["loss"]
    points = curves["loss"]
    assert len(points) == 50
    assert points[0] == (0, 0.0)
    assert points[-1] == (2999, 2999.0)
    assert points == sorted(points)


def test_a_short_curve_is_whole(run):
    log_metric(run, "loss", [3.0, 2.0, 1.0])
    curves = sample_curves("default", run.organization_id, run.pk, ["loss"], points=50)
    assert curves == {"loss": [(0, 3.0), (1, 2.0), (2, 1.0)]}


def test_steps_at_the_ends_of_their_range_do_not_overflow(run):
    for step in (-(2**63), 2**63 - 1):
        models.Metric(
            id=fact_id(0, run.pk, step),
            organization_id=run.organization_id,
            run=run,
            name="loss",
            value=1.0,
            timestamp_ms=0,
            step=step,
        ).save(force_insert=True)
    curves = sample_curves("default", run.organization_id, run.pk, ["loss"], points=50)
    assert curves["loss"] == [(-(2**63), 1.0), (2**63 - 1, 1.0)]


def test_curves_of_another_organization_stay_out(run, cast):
    log_metric(run, "loss", [3.0, 2.0])
    assert sample_curves("default", cast.umbrella.pk, run.pk, ["loss"], points=9) == {}


def test_a_curve_leaves_out_what_is_not_finite():
    drawn = figure("loss", [(0, 1.0), (1, math.nan), (2, math.inf), (3, 2.0)])
    assert "nan" not in drawn.lower()
    assert "1 to 2" in drawn


def test_a_curve_without_any_finite_value_says_so():
    assert "No finite values." in figure("loss", [(0, math.nan), (1, math.nan)])


def test_a_curve_as_wide_as_numbers_go_stays_on_paper():
    drawn = figure("loss", [(0, -1.7e308), (1, 1.7e308)])
    assert "inf" not in drawn
    assert fraction(1.7e308, -1.7e308, 1.7e308) == 1
    assert fraction(3, 3, 3) == 0.5


def test_the_name_of_a_curve_is_text():
    drawn = figures({'<script>"x"': [(0, 1.0), (1, 2.0)]})
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn


def test_shares_add_up():
    bar = shares(
        [("finished", 3, "success"), ("failed", 1, "danger"), ("killed", 0, "")]
    )
    assert 'x="0.00" width="75.00"' in bar
    assert 'x="75.00" width="25.00"' in bar
    assert "killed" not in bar


# Facts


@pytest.mark.parametrize(
    "model",
    [
        "metric",
        "latestmetric",
        "param",
        "runtag",
        "runinput",
        "experimenttag",
        "registeredmodeltag",
        "modelversiontag",
        "packagefile",
        "blob",
    ],
)
def test_facts_are_neither_added_changed_nor_deleted(root, model):
    address = reverse(f"admin:registry_{model}_changelist")
    assert root.post(f"{address}add/", {}).status_code == 403
    assert root.post(f"{address}{uuid7()}/change/", {"value": "2"}).status_code in {
        302,
        403,
    }
    assert root.post(f"{address}{uuid7()}/delete/", {}).status_code in {302, 403}


def test_a_metric_cannot_be_changed(root, run):
    log_metric(run, "loss", [0.5])
    point = models.Metric._base_manager.get()
    assert root.opened(point).status_code == 200
    assert root.post(page_of(point), {"value": "0"}).status_code == 403
    assert root.post(page_of(point, "delete"), {"post": "yes"}).status_code == 403
    assert models.Metric._base_manager.get().value == 0.5


def test_facts_can_be_narrowed_to_their_run(root, run):
    log_metric(run, "loss", [0.5, 0.25])
    log_metric(RunFactory(), "loss", [0.5])
    found = rows_of(root.listed("registry_metric", run=str(run.pk)))
    assert {point.run_id for point in found} == {run.pk}
    assert rows_of(root.listed("registry_metric", run="no id")) == []
    only = root.listed("registry_metric", organization=run.organization.slug)
    assert {point.run_id for point in rows_of(only)} == {run.pk}


# Writing


def test_an_experiment_goes_and_comes_back_with_its_runs(root, run):
    root.act("delete_rows", run.experiment, confirmed="1")
    assert models.Run._base_manager.get(pk=run.pk).deleted_at is not None
    root.act("restore_rows", run.experiment, confirmed="1")
    assert models.Run._base_manager.get(pk=run.pk).deleted_at is None


def test_an_experiment_is_added_with_the_next_number(root, cast):
    root.post(
        reverse("admin:registry_experiment_add"),
        {"project": str(cast.fraud.pk), "name": "forests"},
    )
    experiment = models.Experiment._base_manager.get(name="forests")
    assert (experiment.organization_id, experiment.iid) == (cast.acme.pk, 1)


def test_a_taken_name_is_refused_on_the_form(root, run):
    response = root.post(
        reverse("admin:registry_experiment_add"),
        {"project": str(run.project_id), "name": run.experiment.name},
    )
    assert "already exists" in shown(response)


def test_a_version_moves_to_production_and_archives_the_one_before(root, cast):
    model = RegisteredModelFactory(project=cast.fraud)
    old = ModelVersionFactory(registered_model=model, version=1, stage="Production")
    new = ModelVersionFactory(registered_model=model, version=2)
    question = root.act("to_production", new)
    assert "archived" in shown(question)
    done = root.act("to_production", new, confirmed="1", reason="better recall")
    assert messages_of(done) == ["1 model version moved to Production."]
    stages = dict(
        models.ModelVersion._base_manager.values_list("version", "stage").order_by()
    )
    assert stages == {1: "Archived", 2: "Production"}
    moved = AuditLog._base_manager.get(
        action="registry.model_version.updated", object_id=new.pk
    )
    assert moved.reason == "better recall"
    assert old.stage == "Production"  # what the test held; the row has moved on


def test_a_version_that_is_not_ready_stays_where_it_is(root):
    version = ModelVersionFactory(status="PENDING_REGISTRATION")
    done = root.act("to_production", version, confirmed="1")
    assert any("not ready" in message for message in messages_of(done))
    assert models.ModelVersion._base_manager.get(pk=version.pk).stage == "None"


def test_a_deployment_takes_only_a_status_that_may_follow(root):
    deployment = DeploymentFactory()
    typed = {
        "name": deployment.name,
        "environment": deployment.environment,
        "model_version": str(deployment.model_version_id),
        "endpoint_url": "",
        "metadata": "{}",
    }
    refused = root.post(page_of(deployment), {**typed, "status": "pending"})
    assert "can become" in shown(refused)
    root.post(page_of(deployment), {**typed, "status": "retired"})
    deployment = models.Deployment._base_manager.get(pk=deployment.pk)
    assert deployment.status == "retired"
    assert deployment.retired_at is not None


def test_a_package_leads_to_its_run(root, run):
    package = candidate_package(run, files=2)
    page = shown(root.opened(package))
    assert page_of(run) in page
    assert "2 files" in page
    lonely = PackageFactory(project=run.project)
    assert root.opened(lonely).status_code == 200


def test_a_model_shows_its_versions_and_aliases(root):
    aliased_versions(1)
    version = models.ModelVersion._base_manager.get()
    page = shown(root.opened(version.registered_model))
    assert "champion" in page
    assert page_of(version) in page

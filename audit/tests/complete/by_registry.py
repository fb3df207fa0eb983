"""Steps through the write services of the registry."""

from __future__ import annotations

import io
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils import timezone

from audit.tests.complete.world import World, step
from mlops.db.uuid7 import uuid7
from mlops.streams import Upload
from registry import models
from registry.models import (
    Experiment,
    LoggedModel,
    ModelVersion,
    Package,
    PackageFile,
    RegisteredModel,
    Run,
    Stage,
)
from registry.models.runs import RunStatus
from registry.services import (
    cleanup,
    deployments,
    downloads,
    evaluation_datasets,
    evaluation_records,
    experiments,
    inputs,
    logged_models,
    packages,
    protection,
    purges,
    purging,
    pushes,
    reconcile,
    repairs,
    retention,
    runs,
    scopes,
    storage_usage,
    uploads,
    versions,
)
from registry.services import models as registered
from registry.storage import ArtifactKey, StoredBlob, put_blob
from registry.storage.parts import put_part
from registry.tests.factories import (
    ExperimentFactory,
    LoggedModelFactory,
    PackageFactory,
    PackageFileFactory,
    RunFactory,
    UploadFactory,
)


def live(world: World, model: Any, **lookup: Any) -> Any:
    return world.pick(model, deleted_at=None, project=world.fraud, **lookup)


def fresh_run(world: World) -> Run:
    made: Run = RunFactory(experiment=fresh_experiment(world), iid=serial(world))
    return made


def fresh_experiment(world: World) -> Experiment:
    made: Experiment = ExperimentFactory(
        project=world.fraud, iid=serial(world), name=f"e-{world.name()}"
    )
    return made


def serial(world: World) -> int:
    return 10_000 + int(world.name()[1:])


def blob(world: World) -> StoredBlob:
    body = io.BytesIO(world.name().encode())
    return put_blob(world.acme.pk, body, max_bytes=1000)


def key(world: World) -> ArtifactKey:
    return ArtifactKey(f"folder/{world.name()}.txt")


# Experiments and runs


@step
def experiment_is_created(world: World) -> None:
    with world.serving():
        experiments.create_experiment(
            world.fraud, name=world.name(), tags={"k": world.text()}
        )


@step
def experiment_is_renamed(world: World) -> None:
    with world.serving():
        experiment = live(world, Experiment)
        experiments.rename_experiment(experiment, name=world.name())


@step
def experiment_is_deleted_and_restored(world: World) -> None:
    run = fresh_run(world)
    with world.serving():
        experiments.delete_experiment(run.experiment)
        if world.choose([True, False]):
            experiments.restore_experiment(
                run.experiment, all_runs=world.choose([True, False])
            )


@step
def experiment_tags_change(world: World) -> None:
    with world.serving():
        experiment = live(world, Experiment)
        tag = f"k{world.choose(range(3))}"
        experiments.set_experiment_tags(experiment, {tag: world.text(), "b": "same"})
        if world.choose([True, False]):
            experiments.delete_experiment_tag(experiment, key=tag)


@step
def run_is_created(world: World) -> None:
    with world.serving():
        runs.create_run(
            live(world, Experiment),
            name=world.name(),
            user_name="carol",
            tags={"t": world.name()},
        )


@step
def run_is_updated(world: World) -> None:
    with world.serving():
        run = live(world, Run)
        status = world.choose(RunStatus.values)
        runs.update_run(run, name=world.name(), status=status)


@step
def run_is_deleted_and_restored(world: World) -> None:
    run = fresh_run(world)
    with world.serving():
        runs.delete_run(run)
        if world.choose([True, False]):
            runs.restore_run(run)


@step
def run_tags_change(world: World) -> None:
    with world.serving():
        run = live(world, Run)
        tag = f"k{world.choose(range(3))}"
        runs.set_run_tags(run, {tag: world.name(), "same": "same"})
        if world.choose([True, False]):
            runs.delete_run_tag(run, key=tag)


@step
def run_records_a_model(world: World) -> None:
    run = fresh_run(world)
    with world.serving():
        runs.record_model(run, model={"path": world.name()})


@step
def run_logs_inputs(world: World) -> None:
    with world.serving():
        use = inputs.DatasetUse(
            world.name(), "digest", "local", "there", tags=(("context", "eval"),)
        )
        inputs.log_inputs(live(world, Run), [use])


# Logged models


@step
def logged_model_is_created_and_finalized(world: World) -> None:
    with world.serving():
        model = logged_models.create_logged_model(
            live(world, Experiment),
            name=world.name(),
            params={"depth": world.name()},
            tags={"t": world.text()},
        )
        logged_models.finalize(model, status=models.LoggedModelStatus.READY)


@step
def logged_model_is_deleted_and_restored(world: World) -> None:
    model = LoggedModelFactory(experiment=fresh_experiment(world))
    with world.serving():
        logged_models.delete_logged_model(model)
        if world.choose([True, False]):
            logged_models.restore_logged_model(model)


@step
def logged_model_gets_params_and_tags(world: World) -> None:
    with world.serving():
        model = live(world, LoggedModel)
        logged_models.log_model_params(model, {world.name(): "1"})
        logged_models.set_model_tags(model, {"t": world.name(), "u": "x"})
        logged_models.delete_model_tag(model, key="u")


@step
def run_uses_logged_models(world: World) -> None:
    model = LoggedModelFactory(experiment=fresh_experiment(world))
    with world.serving():
        logged_models.log_uses(
            live(world, Run), [model], role=models.ModelRole.INPUT, steps=[0]
        )


@step
def logged_model_gets_and_loses_files(world: World) -> None:
    stored = blob(world)
    with world.serving():
        model, path = live(world, LoggedModel), key(world)
        logged_models.attach_file(model, key=path, blob=stored)
        if world.choose([True, False]):
            logged_models.remove_files(model, key=path)


# Evaluation datasets


@step
def evaluation_dataset_is_created(world: World) -> None:
    with world.serving():
        evaluation_datasets.create_evaluation_dataset(
            world.fraud,
            name=world.name(),
            experiments=[live(world, Experiment)],
            tags={"t": world.text()},
            creator_name="carol",
        )


@step
def evaluation_dataset_is_deleted_and_restored(world: World) -> None:
    with world.serving():
        dataset = evaluation_datasets.create_evaluation_dataset(
            world.fraud, name=world.name()
        )
        evaluation_datasets.delete_evaluation_dataset(dataset)
        if world.choose([True, False]):
            evaluation_datasets.restore_evaluation_dataset(dataset)


@step
def evaluation_dataset_changes(world: World) -> None:
    experiment = fresh_experiment(world)
    with world.serving():
        dataset = live(world, models.EvaluationDataset)
        evaluation_datasets.set_dataset_tags(dataset, {"t": world.name(), "u": "x"})
        evaluation_datasets.delete_dataset_tag(dataset, key="u")
        evaluation_datasets.add_to_experiments(dataset, [experiment])
        evaluation_datasets.remove_from_experiments(dataset, [experiment.iid])


@step
def evaluation_records_come_change_and_go(world: World) -> None:
    with world.serving():
        dataset = live(world, models.EvaluationDataset)
        question = world.name()
        for answer in ("yes", "no"):
            example = evaluation_records.Example(
                inputs={"q": question}, outputs=answer, has_outputs=True
            )
            evaluation_records.upsert_records(dataset, [example])
        if world.choose([True, False]):
            record = dataset.records.order_by("created_at").first()
            evaluation_records.delete_records(dataset, [record.pk])


# Registered models and versions


@step
def model_is_created(world: World) -> None:
    with world.serving():
        registered.create_model(
            world.fraud,
            name=world.name(),
            description=world.text(),
            tags={"t": world.text()},
        )


@step
def model_is_updated_and_renamed(world: World) -> None:
    with world.serving():
        model = live(world, RegisteredModel)
        registered.update_model(model, description=world.text())
        registered.rename_model(model, name=world.name())


@step
def model_is_deleted_and_restored(world: World) -> None:
    with world.serving():
        model = registered.create_model(world.fraud, name=world.name())
        versions.create_version(model, source="somewhere")
        registered.delete_model(model)
        if world.choose([True, False]):
            registered.restore_model(model)


@step
def model_tags_change(world: World) -> None:
    with world.serving():
        model = live(world, RegisteredModel)
        registered.set_model_tags(model, {"t": world.name(), "u": "x"})
        registered.delete_model_tag(model, key="u")


@step
def version_is_created(world: World) -> None:
    with world.serving():
        versions.create_version(
            live(world, RegisteredModel),
            source=f"somewhere/{world.name()}",
            description=world.text(),
            metadata=world.document(),
            tags={"t": world.text()},
        )


@step
def version_is_updated(world: World) -> None:
    with world.serving():
        version = live(world, ModelVersion)
        versions.update_version(
            version, description=world.text(), metadata=world.document()
        )


@step
def version_changes_stage(world: World) -> None:
    with world.serving():
        version = live(world, ModelVersion)
        stage = Stage(world.choose(["Production", "Staging"]))
        versions.transition_stage(version, stage=stage, archive_existing=True)


@step
def version_is_deleted_and_restored(world: World) -> None:
    with world.serving():
        model = live(world, RegisteredModel)
        version = versions.create_version(model, source="somewhere")
        registered.set_alias(model, name=world.name(), version=version)
        versions.delete_version(version)
        if world.choose([True, False]):
            versions.restore_version(version)


@step
def version_tags_change(world: World) -> None:
    with world.serving():
        version = live(world, ModelVersion)
        versions.set_version_tags(version, {"t": world.name(), "u": "x"})
        versions.delete_version_tag(version, key="u")


@step
def alias_moves_and_goes(world: World) -> None:
    with world.serving():
        version = live(world, ModelVersion)
        model, name = version.registered_model, world.name()
        registered.set_alias(model, name=name, version=version)
        other = versions.create_version(model, source="somewhere")
        registered.set_alias(model, name=name, version=other)
        if world.choose([True, False]):
            registered.delete_alias(model, name=name)


# Packages


@step
def run_gets_and_loses_files(world: World) -> None:
    stored, run = blob(world), fresh_run(world)
    with world.serving():
        path = key(world)
        packages.attach_file(run, key=path, blob=stored)
        packages.attach_file(run, key=path, blob=stored)
        if world.choose([True, False]):
            packages.remove_files(run, key=path)


@step
def package_is_pushed_updated_deleted_and_restored(world: World) -> None:
    stored = blob(world)
    with world.serving():
        push = pushes.Push(f"p-{world.name()}", "1.0", key(world))
        pushes.refuse_in_vain(world.fraud, push, size_bytes=1, sha256=None)
        pushed = pushes.store_push(world.fraud, push, stored)
        packages.update_package(pushed.package, metadata=world.document())
        if world.choose([True, False]):
            packages.remove_file(pushed.package, pushed.file)
        packages.delete_package(pushed.package)
        if world.choose([True, False]):
            packages.restore_package(pushed.package)


@step
def upload_is_refused_or_not(world: World) -> None:
    """Whether there is room is asked before bytes are taken; nothing changes."""
    with world.serving():
        package = live(world, Package)
        packages.refuse_upload(world.fraud, package.pk, key(world), 3)


@step
def protection_rule_comes_changes_and_goes(world: World) -> None:
    with world.serving():
        rule = protection.create_rule(
            world.fraud, name_pattern=f"{world.name()}*", push_role="maintainer"
        )
        protection.update_rule(rule, delete_role="maintainer")
        if world.choose([True, False]):
            protection.delete_rule(rule)


@step
def retention_rule_comes_changes_and_goes(world: World) -> None:
    with world.serving():
        rule = retention.create_rule(
            world.fraud, name=world.name(), older_than_days=3000
        )
        retention.update_rule(rule, older_than_days=2000)
        if world.choose([True, False]):
            retention.delete_rule(rule)


@step
def packages_are_cleaned_up(world: World) -> None:
    """A rule lets one go, the grace is over, and so are its bytes."""
    package = PackageFactory(
        project=world.fraud, name=f"doomed-{world.name()}", version="1"
    )
    PackageFileFactory(package=package)
    long_ago = timezone.now() - timedelta(days=4000)
    Package._base_manager.filter(pk=package.pk).update(created_at=long_ago)
    scope = scopes.Scope(world.acme.pk, world.acme.slug)
    with world.serving():
        retention.create_rule(
            world.fraud,
            name=world.name(),
            name_pattern=package.name,
            older_than_days=3000,
        )
    bound = partial(world.everywhere, label="cleanup")
    later = timezone.now() + timedelta(days=1000)
    list(cleanup.clean_up(scope, cleanup.Tally(), cleanup.Cutoffs.at(later), bound))


@step
def downloads_are_noted(world: World) -> None:
    package = world.pick(Package)
    note = {(world.acme.pk, package.pk): timezone.now()}
    downloads.write_downloads(world.acme.pk, note)
    downloads.flush()


@step
def counters_are_put_right(world: World) -> None:
    with world.everywhere():
        for row in storage_usage.compare("default", organization="acme"):
            storage_usage.recount(row)


# Uploads


@step
def upload_is_begun_and_aborted(world: World) -> None:
    with world.serving():
        row = uploads.begin_upload(
            world.fraud,
            upload=uuid7(),
            location=f"somewhere/{world.name()}",
            part_count=1,
            reference="",
        )
        if world.choose([True, False]):
            uploads.abort_upload(row)


@step
def upload_is_completed(world: World) -> None:
    row = UploadFactory(project=world.fraud, location=world.name(), part_count=1)
    part = put_part(row.pk, 1, Upload(io.BytesIO(b"part")), max_bytes=1000)
    with world.serving():
        uploads.record_part(row, part)
        uploads.claim_completion(row)


@step
def stale_uploads_go(world: World) -> None:
    UploadFactory(project=world.fraud, location=world.name(), part_count=1)
    with world.everywhere():
        uploads.delete_stale(timedelta(days=-1))


# Repairs


@step
def packages_are_repaired(world: World) -> None:
    now = timezone.now()

    def found(kind: reconcile.Kind, row: Any) -> reconcile.Discrepancy:
        return reconcile.Discrepancy(kind, world.acme.pk, "made up", row=row.pk)

    def package(name: str, **more: Any) -> Package:
        made: Package = PackageFactory(project=world.fraud, name=name, **more)
        return made

    orphan = package(f"ml_candidate_{serial(world)}", version="-")
    twin = package(f"twin-{world.name()}", version="1")
    typed = package(f"ml_candidate_{fresh_run(world).iid}", version="-", type="generic")
    run = fresh_run(world)
    with world.everywhere():
        kinds = reconcile.Kind
        repairs.mark(found(kinds.PACKAGE_WITHOUT_RUN, orphan), now)
        repairs.move_aside(found(kinds.DUPLICATE, twin), now)
        repairs.put_type_right(found(kinds.FOREIGN_NAME, typed), now)
        repairs.make_empty(found(kinds.RUN_WITHOUT_PACKAGE, run), now)


@step
def lost_and_stray_bytes_are_forgotten(world: World) -> None:
    package = PackageFactory(project=world.fraud, name=f"lost-{world.name()}")
    file: PackageFile = PackageFileFactory(package=package)
    later = timezone.now() + timedelta(days=1000)
    lost = reconcile.Discrepancy(
        reconcile.Kind.ROW_WITHOUT_BLOB, world.acme.pk, "lost", name=file.blob.sha256
    )
    stray = reconcile.Discrepancy(
        reconcile.Kind.BLOB_WITHOUT_ROW,
        world.acme.pk,
        "stray",
        name=f"{world.acme.pk}/no/blob",
    )
    with world.everywhere():
        repairs.forget_lost_bytes(lost, later)
        repairs.remove_bytes(stray, later)


# Purges


@step
def deleted_model_is_asked_to_go(world: World) -> None:
    with world.serving():
        model = registered.create_model(world.fraud, name=world.name())
        registered.delete_model(model)
        model.refresh_from_db()
        purges.ask_to_purge(model, confirm=model.name)


@step
def deleted_things_are_purged(world: World) -> None:
    run = fresh_run(world)
    package = PackageFactory(project=world.fraud, name=f"ml_candidate_{run.iid}")
    PackageFileFactory(package=package)
    with world.serving():
        runs.set_run_tags(run, {"t": "v"})
        experiments.delete_experiment(run.experiment)
    scope = scopes.Scope(world.acme.pk, world.acme.slug)
    asked = purging.Asked(timezone.now() + timedelta(days=400))
    bound = partial(world.everywhere, label="purge")
    list(purging.purge(scope, purging.Tally(), asked, bound))


# Deployments


@step
def deployment_is_created(world: World) -> None:
    with world.serving():
        deployments.create_deployment(
            world.fraud,
            name=world.name(),
            model_version=live(world, ModelVersion),
            metadata=world.document(),
        )


@step
def deployment_is_updated(world: World) -> None:
    with world.serving():
        row = live(world, models.Deployment)
        deployments.update_deployment(row, environment=world.name())


@step
def deployment_is_deleted_and_restored(world: World) -> None:
    with world.serving():
        row = deployments.create_deployment(
            world.fraud, name=world.name(), model_version=live(world, ModelVersion)
        )
        deployments.delete_deployment(row)
        if world.choose([True, False]):
            deployments.restore_deployment(row)

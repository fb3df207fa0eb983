"""reconcile_packages finds each kind that is planted, and puts it right once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection

from audit.models import AuditLog
from mlops.cli import UsageError
from registry.models import (
    Blob,
    LoggedModel,
    Package,
    PackageFile,
    Run,
    RunTag,
)
from registry.services import reconcile
from registry.tests.factories import (
    ExperimentFactory,
    ModelVersionFactory,
    PackageFactory,
    PackageFileFactory,
    RunFactory,
)
from registry.tests.maintenance.commands import (
    DAY,
    make_old,
    path_of,
    run,
    store,
)
from tests.strangers import snapshot

ALL_KINDS = sorted(reconcile.Kind)


def candidate(run, *files: Blob, **more: Any) -> Package:
    """The run's package as uploads make it, with these files."""
    fields = {"name": run.package_name, "version": "-", "type": "candidate"}
    package = PackageFactory(project=run.project, **fields | more)
    for number, blob in enumerate(files):
        PackageFileFactory(package=package, path=f"{number}.bin", blob=blob)
    return package


@dataclass
class Planted:
    """One of each kind in a project, and one of each thing that is as it should be."""

    project: Any
    rows: dict[str, Any] = field(default_factory=dict)

    def plant(self) -> Planted:
        organization = self.project.organization_id
        experiment = ExperimentFactory(project=self.project)
        # As it should be: a package with a file, a run without, a package of a model,
        # bytes of an upload under way, a deleted run that may come back.
        fine = RunFactory(experiment=experiment)
        self.rows["fine"] = candidate(fine, store(organization, self.bytes_of("fine")))
        ModelVersionFactory(
            registered_model__project=self.project,
            run=fine,
            source=f"runs:/{fine.pk.hex}/model",
        )
        RunFactory(experiment=experiment)
        model = make_model(experiment)
        PackageFactory(
            project=self.project, name=model.package_name, version="-", type="model"
        )
        young = store(organization, self.bytes_of("young"), age_s=60)
        Blob._base_manager.filter(pk=young.pk).delete()
        gone = RunFactory(experiment=experiment)
        candidate(gone)
        Run._base_manager.filter(pk=gone.pk).update(deleted_at="2026-01-01T00:00Z")
        self._plant_packages(experiment)
        self._plant_bytes(experiment)
        return self

    def bytes_of(self, word: str) -> bytes:
        """Bytes that no other project has."""
        return f"{word} of {self.project.pk}".encode()

    def _plant_packages(self, experiment: Any) -> None:
        bare = RunFactory(experiment=experiment)
        history = json.dumps([{"artifact_path": "model", "run_id": bare.pk.hex}])
        RunTag(
            organization_id=bare.organization_id,
            experiment_id=experiment.pk,
            run=bare,
            key="mlflow.log-model.history",
            value=history,
        ).save()
        self.rows["run_without_package"] = bare
        lost = make_model(experiment)
        ModelVersionFactory(registered_model__project=self.project, logged_model=lost)
        self.rows["model_without_package"] = lost
        unused = RunFactory.build(experiment=experiment, iid=9_000_001)
        self.rows["package_without_run"] = candidate(unused)
        self.rows["package_without_model"] = PackageFactory(
            project=self.project,
            name=f"ml_model_{uuid4().hex}",
            version="-",
            type="model",
        )
        other = RunFactory(experiment=experiment)
        self.rows["foreign_name"] = candidate(other, version="1.0")
        self.rows["malformed_name"] = against_constraints(
            ("packages_candidate_name",),
            lambda: candidate(other, name="ML_Candidate_007"),
        )
        twice = RunFactory(experiment=experiment)
        content = store(self.project.organization_id, self.bytes_of("twin"))
        self.rows["kept"] = candidate(twice, content)
        self.rows["duplicate"] = against_constraints(
            ("packages_live_name",), lambda: candidate(twice)
        )

    def _plant_bytes(self, experiment: Any) -> None:
        organization = self.project.organization_id
        run = RunFactory(experiment=experiment)
        lost = store(organization, self.bytes_of("lost"))
        candidate(run, lost)
        path_of(organization, lost.sha256).unlink()
        self.rows["row_without_blob"] = lost
        stray = store(organization, self.bytes_of("stray"))
        Blob._base_manager.filter(pk=stray.pk).delete()
        self.rows["blob_without_row"] = stray


def make_model(experiment: Any) -> LoggedModel:
    model = LoggedModel(
        organization_id=experiment.organization_id,
        project=experiment.project,
        experiment=experiment,
        name="forest",
        status="READY",
    )
    model.save(force_insert=True)
    return model


def against_constraints(names: tuple[str, ...], make: Any) -> Any:
    """Store what an import left that went without them; they are not there again."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in names:
            cursor.execute(f"ALTER TABLE packages DROP CONSTRAINT IF EXISTS {name}")
            cursor.execute(f"DROP INDEX IF EXISTS {name}")
    return make()


@pytest.fixture
def planted(cast) -> Planted:
    return Planted(cast.fraud).plant()


def test_each_planted_kind_is_found_once(planted):
    outcome = run("reconcile_packages")
    assert outcome.kinds() == ALL_KINDS
    assert set(outcome.told) == {"checked", "findings", "fixed"}
    assert (outcome.told["fixed"], outcome.code) == (0, 2)
    assert outcome.told["checked"] > 0
    by_kind = {found["kind"]: found for found in outcome.told["findings"]}
    for found in by_kind.values():
        assert set(found) == {"kind", "package", "run", "detail"}
        assert found["detail"].startswith("acme")
    rows = planted.rows
    assert by_kind["run_without_package"]["run"] == rows["run_without_package"].pk.hex
    for kind in ("package_without_run", "foreign_name", "malformed_name", "duplicate"):
        assert by_kind[kind]["package"] == rows[kind].name
        assert str(rows[kind].pk) in by_kind[kind]["detail"]
    assert rows["row_without_blob"].sha256 in by_kind["row_without_blob"]["detail"]


def test_a_dry_run_changes_nothing(planted, cast, blob_folder):
    before = snapshot(cast.acme), names_in(blob_folder)
    run("reconcile_packages")
    run("reconcile_packages", "--fix", "--dry-run")
    assert (snapshot(cast.acme), names_in(blob_folder)) == before


def test_a_second_run_after_the_fix_finds_nothing(planted):
    fixed = run("reconcile_packages", "--fix")
    assert fixed.kinds() == ALL_KINDS
    assert fixed.told["fixed"] == len(ALL_KINDS)
    # Files whose bytes are gone stay gone: a warning, once.
    assert fixed.code == 1
    again = run("reconcile_packages", "--fix")
    assert (again.told["findings"], again.told["fixed"], again.code) == ([], 0, 0)


def test_a_fix_touches_no_other_tenant(planted, cast, blob_folder):
    Planted(cast.umbrella_fraud).plant()
    before = snapshot(cast.umbrella)
    theirs = [each for each in names_in(blob_folder) if str(cast.umbrella.pk) in each]
    run("reconcile_packages", "--fix", "--organization", "acme")
    assert snapshot(cast.umbrella) == before
    assert theirs == [e for e in names_in(blob_folder) if str(cast.umbrella.pk) in e]
    assert run("reconcile_packages", "--organization", "umbrella").kinds() == ALL_KINDS


def test_a_fix_of_one_project_touches_no_sibling(planted, cast):
    Planted(cast.churn).plant()
    words = ("--organization", "acme", "--project", "churn")
    whole = run("reconcile_packages").kinds()
    of_churn = run("reconcile_packages", *words, "--fix").kinds()
    # Bytes lie per organization; they are not looked at for a project alone.
    bytes_kinds = {"row_without_blob", "blob_without_row"}
    assert of_churn == sorted(set(ALL_KINDS) - bytes_kinds)
    left = run("reconcile_packages").kinds()
    assert sorted([*left, *of_churn]) == whole


def test_what_fits_together_is_left_as_it_is(planted, cast):
    fine = planted.rows["fine"]
    before = Package._base_manager.filter(pk=fine.pk).values().get()
    run("reconcile_packages", "--fix")
    assert Package._base_manager.filter(pk=fine.pk).values().get() == before
    assert path_of(cast.acme.pk, files_of(fine).get().sha256).exists()
    kept = Package._base_manager.get(pk=planted.rows["kept"].pk)
    assert (kept.deleted_at, files_of(kept).count()) == (None, 1)


def test_a_run_that_lost_its_package_gets_an_empty_one(planted, cast):
    run("reconcile_packages", "--fix")
    lost = planted.rows["run_without_package"]
    package = Package._base_manager.get(name=lost.package_name, project=cast.fraud)
    assert (package.version, package.type, package.status) == (
        "-",
        "candidate",
        "default",
    )
    assert "reconciled" in package.metadata


def test_a_package_without_run_may_still_be_restored(planted):
    run("reconcile_packages", "--fix")
    package = Package._base_manager.get(pk=planted.rows["package_without_run"].pk)
    assert package.status == "pending_destruction"
    assert package.deleted_at
    assert package.delete_batch


@pytest.mark.parametrize("kind", ["malformed_name", "foreign_name"])
def test_files_under_a_wrong_name_move_to_one_of_their_own(planted, cast, kind):
    package = planted.rows[kind]
    file = PackageFileFactory(
        package=package, path="a/b.bin", blob=store(cast.acme.pk, kind.encode())
    )
    version = ModelVersionFactory(
        registered_model__project=cast.fraud, package=planted.rows["malformed_name"]
    )
    run("reconcile_packages", "--fix")
    moved = PackageFile._base_manager.get(pk=file.pk).package
    assert moved.name == f"recovered-{package.pk.hex}"
    assert moved.metadata["recovered_from"] == package.name
    assert not Package._base_manager.filter(pk=package.pk).exists()
    version.refresh_from_db()
    assert version.package.metadata["recovered_from"] == "ML_Candidate_007"


def test_of_duplicates_the_one_with_files_keeps_the_name(planted, cast):
    newer, older = planted.rows["duplicate"], planted.rows["kept"]
    files_of(older).update(package=newer)
    run("reconcile_packages", "--fix")
    assert files_of(newer).count() == 1
    assert not Package._base_manager.filter(pk=older.pk).exists()
    moved = Package._base_manager.get(name=f"recovered-{older.pk.hex}")
    assert moved.metadata["recovered_from"] == newer.name


def test_a_wrong_type_alone_is_put_right_in_place(cast):
    mine = RunFactory(experiment__project=cast.fraud)
    package = candidate(mine, store(cast.acme.pk, b"x"), type="generic")
    assert run("reconcile_packages", "--fix").kinds() == ["foreign_name"]
    package.refresh_from_db()
    assert (package.type, package.deleted_at, files_of(package).count()) == (
        "candidate",
        None,
        1,
    )


def test_lost_files_are_forgotten_and_named_by_the_trail(planted, cast):
    lost = planted.rows["row_without_blob"]
    (file,) = PackageFile._base_manager.filter(blob=lost)
    run("reconcile_packages", "--fix")
    assert not PackageFile._base_manager.filter(pk=file.pk).exists()
    assert not Blob._base_manager.filter(pk=lost.pk).exists()
    entry = AuditLog._base_manager.get(object_id=file.pk, action__endswith="deleted")
    assert entry.before["path"] == file.path
    assert entry.reason == "reconciling packages: row_without_blob"
    assert entry.actor_label == "reconcile_packages"


def test_bytes_without_row_go_when_they_are_old(planted, cast):
    stray = planted.rows["blob_without_row"]
    young = store(cast.acme.pk, b"new", age_s=5)
    Blob._base_manager.filter(pk=young.pk).delete()
    run("reconcile_packages", "--fix")
    assert not path_of(cast.acme.pk, stray.sha256).exists()
    assert path_of(cast.acme.pk, young.sha256).exists()


def test_a_name_that_is_no_digest_goes_as_well(cast, blob_folder):
    kept = store(cast.acme.pk, b"kept")
    stray = path_of(cast.acme.pk, kept.sha256).parent / "core.1234"
    stray.write_bytes(b"what is this")
    make_old(stray, 2 * DAY)
    PackageFileFactory(package__project=cast.fraud, blob=kept)
    assert run("reconcile_packages", "--fix").kinds() == ["blob_without_row"]
    assert not stray.exists()
    assert path_of(cast.acme.pk, kept.sha256).exists()


def test_a_store_that_is_not_there_loses_nothing(cast, monkeypatch):
    monkeypatch.setattr("registry.management.commands.reconcile_packages.FEW", 3)
    run_ = RunFactory(experiment__project=cast.fraud)
    blobs = [store(cast.acme.pk, bytes([number])) for number in range(5)]
    package = candidate(run_, *blobs)
    for blob in blobs:
        path_of(cast.acme.pk, blob.sha256).unlink()
    outcome = run("reconcile_packages", "--fix")
    assert (outcome.kinds(), outcome.told["fixed"]) == (["row_without_blob"] * 5, 0)
    assert outcome.code == 2
    assert files_of(package).count() == 5
    run("reconcile_packages", "--fix", "--accept-loss")
    assert files_of(package).count() == 0


def test_every_batch_is_looked_at(cast, monkeypatch):
    monkeypatch.setattr(reconcile, "BATCH", 3)
    experiment = ExperimentFactory(project=cast.fraud)
    for number in range(10):
        candidate(RunFactory.build(experiment=experiment, iid=8_000_000 + number))
    outcome = run("reconcile_packages", "--fix")
    assert outcome.kinds() == ["package_without_run"] * 10
    assert outcome.told["fixed"] == 10
    assert run("reconcile_packages").told["findings"] == []


@pytest.mark.parametrize(
    "words,said",
    [
        (("--project", "fraud"), "--organization"),
        (("--organization", "nobody"), "nobody"),
        (("--organization", "acme", "--project", "nothing"), "nothing"),
        (("--grace-hours", "0"), "--grace-hours"),
    ],
)
def test_a_wrong_option_says_which(cast, words, said):
    with pytest.raises(UsageError, match=said):
        call_command("reconcile_packages", *words)


def files_of(package: Package) -> Any:
    return PackageFile._base_manager.filter(package=package)


def names_in(folder: Any) -> list[str]:
    files = sorted(folder.drafts.parent.rglob("*"))
    return [str(file) for file in files if file.is_file()]

"""Retention rules: what they mark, what goes for good, and which bytes go with it."""

from __future__ import annotations

import io
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from conftest import web_role
from mlops.cli import UsageError
from registry import jobs
from registry.models import Blob, Package, PackageFile, PackageType, RunTag
from registry.services import cleanup
from registry.services.packages import attach_to, open_package
from registry.services.scopes import Scope
from registry.sql import packages as sql
from registry.storage import ArtifactKey, blob_name, put_blob
from registry.storage.inventory import remove_blob, settle_interrupted
from registry.tests.factories import (
    ExperimentFactory,
    ModelVersionFactory,
    PackageFactory,
    PackageFileFactory,
    RetentionRuleFactory,
    RunFactory,
)
from registry.tests.maintenance.commands import (
    DAY,
    backdate,
    blob_folder,
    make_old,
    path_of,
    run,
    store,
)
from tenants.context import Actor, acting_as, tenant_transaction
from tenants.models import Organization, Project
from tenants.tests.factories import OrganizationFactory, ProjectFactory
from tests.strangers import snapshot


def aged(project: Any, days: float, **fields: Any) -> Package:
    package = PackageFactory(project=project, **fields)
    backdate(Package, package.pk, days * DAY)
    return package


def status_of(package: Package) -> str:
    return Package._base_manager.get(pk=package.pk).status


def marked(*packages: Package) -> list[bool]:
    return [status_of(package) == "pending_destruction" for package in packages]


# 1: what rules mark


def test_a_plan_counts_and_changes_nothing(cast):
    aged(cast.fraud, 40)
    RetentionRuleFactory(project=cast.fraud, name="month")
    before = snapshot(cast.acme)
    for words in ((), ("--yes", "--dry-run")):
        told = run("cleanup_packages", *words).told
        assert (told["applied"], told["marked"]) == (False, 1)
        assert told["rules"] == [
            {
                "organization": "acme",
                "project": "fraud",
                "rule": "month",
                "packages": 1,
            }
        ]
    assert snapshot(cast.acme) == before


def test_a_rule_by_age_marks_what_is_older(cast):
    old, new = aged(cast.fraud, 31), aged(cast.fraud, 29)
    elsewhere = aged(cast.churn, 31)
    RetentionRuleFactory(project=cast.fraud, older_than_days=30)
    told = run("cleanup_packages", "--yes").told
    assert (told["applied"], told["marked"]) == (True, 1)
    assert marked(old, new, elsewhere) == [True, False, False]
    row = Package._base_manager.get(pk=old.pk)
    assert row.deleted_at
    assert row.former_status == "default"
    assert run("cleanup_packages", "--yes").told["marked"] == 0


def test_a_rule_by_count_spares_the_newest(cast):
    packages = [aged(cast.fraud, 10 - number) for number in range(5)]
    RetentionRuleFactory(project=cast.fraud, older_than_days=None, keep_newest=2)
    run("cleanup_packages", "--yes")
    assert marked(*packages) == [True, True, True, False, False]


def test_a_count_by_name_spares_the_newest_versions_of_each(cast):
    rows = [
        aged(cast.fraud, 1, name=name, version=f"{number}.0")
        for name in ("tool", "data")
        for number in range(3)
    ]
    RetentionRuleFactory(
        project=cast.fraud, older_than_days=None, keep_newest=1, counting="name"
    )
    run("cleanup_packages", "--yes")
    assert marked(*rows) == [True, True, False] * 2


def test_age_and_count_must_both_hold(cast):
    rows = [aged(cast.fraud, days) for days in (50, 40, 10, 5)]
    RetentionRuleFactory(project=cast.fraud, older_than_days=30, keep_newest=3)
    run("cleanup_packages", "--yes")
    assert marked(*rows) == [True, False, False, False]


PATTERNS = [
    ("nightly-*", ["nightly-1", "nightly-"], ["x-nightly-1", "Nightly-1"]),
    ("*.whl", ["a.whl"], ["awhl", "a.whlx"]),
    ("a+b_(c)", ["a+b_(c)"], ["aab_c", "a+b_(c)d"]),
    ("*", ["anything"], []),
]


@pytest.mark.parametrize("pattern,meant,others", PATTERNS)
def test_a_pattern_means_whole_names(cast, pattern, meant, others):
    hit = [aged(cast.fraud, 40, name=name) for name in meant]
    missed = [aged(cast.fraud, 40, name=name) for name in others]
    RetentionRuleFactory(project=cast.fraud, name_pattern=pattern)
    run("cleanup_packages", "--yes")
    assert marked(*hit, *missed) == [True] * len(hit) + [False] * len(missed)


def test_a_rule_by_type_and_status_marks_only_those(cast):
    hit = aged(cast.fraud, 40, type="generic", status="deprecated")
    others = [
        aged(cast.fraud, 40, type="generic"),
        aged(cast.fraud, 40, type="model", status="deprecated"),
    ]
    RetentionRuleFactory(
        project=cast.fraud, package_type="generic", package_status="deprecated"
    )
    run("cleanup_packages", "--yes")
    assert marked(hit, *others) == [True, False, False]


def test_an_upload_under_way_is_never_marked(cast):
    package = aged(cast.fraud, 400, status="processing")
    RetentionRuleFactory(project=cast.fraud)
    run("cleanup_packages", "--yes")
    assert marked(package) == [False]


def test_a_rule_by_tag_asks_the_run_or_the_metadata(cast):
    experiment = ExperimentFactory(project=cast.fraud)
    runs = RunFactory.create_batch(3, experiment=experiment)
    for run_, value in zip(runs, ("scratch", "keep", None), strict=True):
        if value:
            tag_run(run_, "purpose", value)
    packages = [
        aged(cast.fraud, 40, name=each.package_name, version="-", type="candidate")
        for each in runs
    ]
    described = aged(cast.fraud, 40, metadata={"purpose": "scratch"})
    RetentionRuleFactory(project=cast.fraud, tag_key="purpose", tag_value="scratch")
    run("cleanup_packages", "--yes")
    assert marked(*packages, described) == [True, False, False, True]


def tag_run(run_: Any, key: str, value: str) -> None:
    RunTag(
        organization_id=run_.organization_id,
        experiment_id=run_.experiment_id,
        run=run_,
        key=key,
        value=value,
    ).save()


@pytest.mark.parametrize("deleted_at", [None, "2026-01-01T00:00Z"])
@pytest.mark.parametrize("by", ["package", "run"])
def test_what_was_promoted_never_goes(cast, by, deleted_at):
    """Not by a rule, and not when somebody has marked it before."""
    run_ = RunFactory(experiment__project=cast.fraud)
    package = aged(
        cast.fraud, 400, name=run_.package_name, version="-", type="candidate"
    )
    referred = {"package": package} if by == "package" else {"run": run_}
    ModelVersionFactory(
        registered_model__project=cast.fraud, deleted_at=deleted_at, **referred
    )
    RetentionRuleFactory(project=cast.fraud, older_than_days=1)
    run("cleanup_packages", "--yes")
    assert marked(package) == [False]


def test_what_a_rule_keeps_stays_whatever_others_say(cast):
    held, other = aged(cast.fraud, 40, name="evidence-1"), aged(cast.fraud, 40)
    RetentionRuleFactory(project=cast.fraud)
    RetentionRuleFactory(
        project=cast.fraud,
        effect="keep",
        name_pattern="evidence-*",
        older_than_days=None,
    )
    run("cleanup_packages", "--yes")
    assert marked(held, other) == [False, True]


def test_a_disabled_rule_does_nothing(cast):
    package = aged(cast.fraud, 40)
    RetentionRuleFactory(project=cast.fraud, is_enabled=False)
    assert run("cleanup_packages", "--yes").told["rules"] == []
    assert marked(package) == [False]


def test_rules_of_one_tenant_touch_no_other(cast):
    for project in (cast.fraud, cast.umbrella_fraud):
        aged(project, 40)
        RetentionRuleFactory(project=project)
    before = snapshot(cast.umbrella)
    run("cleanup_packages", "--yes", "--organization", "acme")
    assert snapshot(cast.umbrella) == before
    run("cleanup_packages", "--yes")
    assert snapshot(cast.umbrella) != before


# 2 and 3: what goes for good


def whole(project: Any, *, deleted_days: float, files: int = 2) -> Package:
    """A package that was marked so many days ago, with bytes of its own."""
    package = PackageFactory(project=project)
    for number in range(files):
        content = f"{package.pk} {number}".encode()
        blob = store(project.organization_id, content)
        PackageFileFactory(package=package, path=f"{number}", blob=blob)
    Package._base_manager.filter(pk=package.pk).update(status="pending_destruction")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE packages SET deleted_at = now() - %s * interval '1 day'"
            " WHERE id = %s",
            [deleted_days, package.pk],
        )
    return package


def left(project: Any) -> tuple[int, int, int]:
    """Packages, files and blobs, of rows; each blob has its bytes."""
    mine = {"organization_id": project.organization_id}
    blobs = list(Blob._base_manager.filter(**mine))
    for blob in blobs:
        assert path_of(blob.organization_id, blob.sha256).exists()
    folder = blob_folder()
    stored = list(folder.glob(f"{project.organization_id}/*/*"))
    assert len(stored) == len(blobs)
    files = PackageFile._base_manager.filter(**mine).count()
    return Package._base_manager.filter(**mine).count(), files, len(blobs)


def test_a_marked_package_goes_with_its_bytes_when_its_grace_is_over(cast):
    whole(cast.fraud, deleted_days=8)
    whole(cast.fraud, deleted_days=6)
    told = run("cleanup_packages", "--yes").told
    assert (told["destroyed"], told["blobs"]) == (1, 0)
    assert left(cast.fraud) == (1, 2, 4)
    told = sweep_a_day_later()
    assert (told["blobs"], told["bytes"] > 0) == (2, True)
    again = run("cleanup_packages", "--yes").told
    assert (again["destroyed"], again["blobs"]) == (0, 0)
    told = run("cleanup_packages", "--yes", "--grace-days", "5").told
    assert told["destroyed"] == 1
    assert sweep_a_day_later()["blobs"] == 2
    assert left(cast.fraud) == (0, 0, 0)


def sweep_a_day_later() -> dict[str, Any]:
    """Bytes wait for a day after their last row, for a backup that is restored."""
    Blob._base_manager.update(released_at=timezone.now() - timedelta(hours=25))
    return run("cleanup_packages", "--yes").told


def test_a_large_package_goes_in_pieces(cast, monkeypatch):
    monkeypatch.setattr(cleanup, "FILES", 3)
    whole(cast.fraud, deleted_days=8, files=7)
    assert run("cleanup_packages", "--yes").told["destroyed"] == 1
    sweep_a_day_later()
    assert left(cast.fraud) == (0, 0, 0)


def test_bytes_that_another_package_has_stay(cast):
    package = whole(cast.fraud, deleted_days=8)
    shared = PackageFile._base_manager.filter(package=package).first().blob
    PackageFileFactory(package__project=cast.churn, blob=shared)
    run("cleanup_packages", "--yes")
    sweep_a_day_later()
    assert left(cast.fraud) == (1, 1, 1)


def test_what_a_version_refers_to_is_not_destroyed(cast):
    package = whole(cast.fraud, deleted_days=400)
    ModelVersionFactory(registered_model__project=cast.fraud, package=package)
    assert run("cleanup_packages", "--yes").told["destroyed"] == 0
    assert left(cast.fraud) == (1, 2, 2)


def test_what_a_rule_keeps_is_not_destroyed(cast):
    package = whole(cast.fraud, deleted_days=400)
    Package._base_manager.filter(pk=package.pk).update(former_status="default")
    RetentionRuleFactory(project=cast.fraud, effect="keep", older_than_days=None)
    assert run("cleanup_packages", "--yes").told["destroyed"] == 0
    assert left(cast.fraud) == (1, 2, 2)


@pytest.mark.parametrize("young", ["row", "bytes"])
def test_young_blobs_wait_for_their_file(cast, young):
    blob = store(cast.acme.pk, b"under way")
    if young == "row":
        backdate(Blob, blob.pk, 60)
    else:
        make_old(path_of(cast.acme.pk, blob.sha256), 60)
    assert run("cleanup_packages", "--yes").told["blobs"] == 0
    assert left(cast.fraud) == (0, 0, 1)


def test_for_one_project_bytes_stay(cast):
    whole(cast.fraud, deleted_days=8)
    words = ("--organization", "acme", "--project", "fraud")
    assert run("cleanup_packages", "--yes", *words).told["blobs"] == 0
    assert left(cast.fraud) == (0, 0, 2)


def test_the_job_of_the_night_does_all_of_it(cast):
    old = aged(cast.fraud, 40)
    RetentionRuleFactory(project=cast.fraud)
    whole(cast.umbrella_fraud, deleted_days=8)
    jobs.clean_up_packages(0)
    Blob._base_manager.update(released_at=timezone.now() - timedelta(hours=25))
    jobs.clean_up_packages(0)
    assert marked(old) == [True]
    assert left(cast.umbrella_fraud) == (0, 0, 0)


@pytest.mark.parametrize(
    "words,said",
    [
        (("--grace-days", "-1"), "--grace-days"),
        (("--blob-grace-hours", "0"), "--blob-grace-hours"),
        (("--project", "fraud"), "--organization"),
    ],
)
def test_a_wrong_option_says_which(cast, words, said):
    with pytest.raises(UsageError, match=said):
        call_command("cleanup_packages", *words)


# An upload of the same bytes at the same moment


def test_bytes_stored_anew_between_look_and_removal_stay(cast, monkeypatch):
    """The file that steps aside turns out young, and steps back."""
    blob = store(cast.acme.pk, b"twice")
    monkeypatch.setattr("registry.storage.inventory.is_young", store_anew(blob))
    assert run("cleanup_packages", "--yes").told["blobs"] == 0
    assert left(cast.fraud) == (0, 0, 1)
    assert not list((blob_folder() / "drafts").iterdir())


def store_anew(blob: Blob):
    def look(name: str, before: object) -> bool:
        put_blob(blob.organization_id, io.BytesIO(b"twice"), max_bytes=100)
        return False  # as it was a moment ago

    return look


def test_what_a_killed_sweep_left_aside_is_settled(cast):
    """Old bytes go; young ones, stored by an upload in between, come back."""
    before = datetime.now(UTC) - timedelta(days=1)
    young, old = store(cast.acme.pk, b"young", age_s=5), store(cast.acme.pk, b"old")
    for blob in (young, old):
        aside = f"{cast.acme.pk.hex}-{blob.sha256}.leaving"
        path_of(cast.acme.pk, blob.sha256).rename((blob_folder() / "drafts") / aside)
    assert settle_interrupted(before=before) == 2
    assert path_of(cast.acme.pk, young.sha256).read_bytes() == b"young"
    assert not path_of(cast.acme.pk, old.sha256).exists()
    assert remove_blob(cast.acme.pk, old.sha256, before=before)


@pytest.fixture
def place(transactional_db) -> Project:
    organization = OrganizationFactory(slug=f"sweeps-{time.monotonic_ns()}")
    return ProjectFactory(organization=organization)


def upload(project: Project, content: bytes, path: str) -> None:
    """As a request does it: bytes first, rows then, in the web's role."""
    stored = put_blob(project.organization_id, io.BytesIO(content), max_bytes=1000)
    actor = Actor(kind="job", label="t", organization_id=project.organization_id)
    with web_role(), tenant_transaction(actor):
        package = open_package(project, "tool", "1.0", PackageType.GENERIC)
        attach_to(package, key=ArtifactKey(path), blob=stored)


def test_an_upload_waits_for_the_sweep_of_its_bytes(place, monkeypatch):
    """Its row was seen and goes meanwhile: the upload stores another one."""
    blob = store(place.organization_id, b"same")
    waiting = threading.Event()
    attach = sql.attach

    def attach_slowly(*args: Any):
        waiting.set()
        return attach(*args)

    monkeypatch.setattr(sql, "attach", attach_slowly)
    uploader = threading.Thread(target=in_thread, args=(place, b"same"))
    before = cleanup.Cutoffs.at(timezone.now()).blobs
    with acting_as("command:test", organization=place.organization_id):
        locked = Blob.objects.select_for_update().get(pk=blob.pk)
        uploader.start()  # stores the bytes anew
        assert waiting.wait(10)
        time.sleep(0.3)  # it waits for the row
        Blob.objects.filter(pk=locked.pk).delete()
        # Young again, so the bytes stay although the row goes.
        assert not remove_blob(place.organization_id, blob.sha256, before=before)
    uploader.join(10)
    assert not uploader.is_alive()
    assert left(place) == (1, 1, 1)
    assert Blob._base_manager.get(organization=place.organization).pk != blob.pk


def in_thread(project: Project, content: bytes) -> None:
    try:
        upload(project, content, "a.bin")
    finally:
        connections.close_all()


def test_sweeps_and_uploads_of_the_same_bytes_lose_nothing(place):
    """Twenty rounds at once: whatever is stored afterwards has its bytes."""
    organization: Organization = place.organization
    scope = Scope(organization.pk, organization.slug)
    bound = scope.bound_as("command:test", reason="test")
    cutoffs = cleanup.Cutoffs.at(timezone.now())
    stop = threading.Event()
    failures: list[BaseException] = []

    def sweep_on() -> None:
        try:
            while not stop.is_set():
                for _ in cleanup.clean_up(scope, cleanup.Tally(), cutoffs, bound):
                    pass
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    sweeper = threading.Thread(target=sweep_on)
    sweeper.start()
    try:
        for number in range(20):
            content = f"{number % 4}".encode()
            path = path_of(organization.pk, put(organization, content))
            make_old(path, 2 * DAY)
            upload(place, content, f"{number}.bin")
            if number % 3 == 0:
                PackageFile._base_manager.filter(organization=organization).delete()
                Blob._base_manager.filter(organization=organization).update(
                    created_at="2026-01-01T00:00Z"
                )
    finally:
        stop.set()
        sweeper.join(60)
    assert failures == []
    for file in PackageFile._base_manager.filter(organization=organization):
        assert path_of(organization.pk, file.sha256).exists()


def put(organization: Organization, content: bytes) -> str:
    return put_blob(organization.pk, io.BytesIO(content), max_bytes=100).sha256


def test_the_store_names_blobs_by_their_digest(cast):
    blob = store(cast.acme.pk, b"abc")
    name = blob_name(cast.acme.pk, blob.sha256)
    assert path_of(cast.acme.pk, blob.sha256).as_posix().endswith(name)

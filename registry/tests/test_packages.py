from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection, connections

from conftest import web_role
from mlops.errors import Conflict, InvalidInput
from registry.models import Blob, Package, PackageFile, Run
from registry.services.packages import attach_file, remove_files
from registry.storage import ArtifactKey, StoredBlob
from registry.tests.factories import (
    ExperimentFactory,
    PackageFactory,
    RunFactory,
    candidate_package,
)
from tenants.context import Actor, tenant_transaction
from tenants.tests.factories import OrganizationFactory, ProjectFactory


@pytest.fixture
def in_acme(cast) -> Iterator[Actor]:
    """Alice's context, as the web role: both locks hold."""
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with tenant_transaction(actor), web_role():
        yield actor


@pytest.fixture
def run(cast):
    return RunFactory(experiment__project=cast.fraud)


@pytest.fixture
def namesake(cast, run):
    """Mallory's run of the same number, with a package of two files."""
    theirs = RunFactory(experiment__project=cast.umbrella_fraud, iid=run.iid)
    theirs.package = candidate_package(theirs, files=2)
    return theirs


def bytes_of(content: bytes) -> StoredBlob:
    return StoredBlob(hashlib.sha256(content).hexdigest(), len(content))


def attach(run: Run, path: str, content: bytes = b"abc") -> Package:
    return attach_file(run, key=ArtifactKey(path), blob=bytes_of(content))


def paths(run: Run) -> list[str]:
    files = PackageFile.objects.filter(package__name=f"ml_candidate_{run.iid}")
    return sorted(files.values_list("path", flat=True))


# Attach


def test_the_first_file_makes_the_package(run, cast, in_acme):
    package = attach(run, "model/MLmodel")
    assert Package.objects.get() == package
    assert (package.name, package.version) == (f"ml_candidate_{run.iid}", "-")
    assert (package.project, package.type) == (cast.fraud, "candidate")
    assert package.created_by == cast.alice.pk
    assert run.package == package
    file = package.files.get()
    assert (file.path, file.size_bytes) == ("model/MLmodel", 3)
    assert file.sha256 == file.blob.sha256 == hashlib.sha256(b"abc").hexdigest()


def test_later_files_join_the_package(run, in_acme):
    package = attach(run, "a")
    assert attach(run, "b") == package
    assert paths(run) == ["a", "b"]
    assert run.package == package


def test_a_file_in_the_same_place_replaces_the_row(run, in_acme):
    package = attach(run, "a", b"old")
    first = package.files.get()
    attach(run, "a", b"newer")
    second = package.files.get()
    assert (second.pk, second.size_bytes) == (first.pk, 5)
    assert second.sha256 == second.blob.sha256 == hashlib.sha256(b"newer").hexdigest()
    assert second.updated_at >= first.updated_at


def test_the_same_file_sent_again_writes_nothing(run, in_acme):
    before = attach(run, "a").files.get()
    attach(run, "a")
    assert run.package.files.get().updated_at == before.updated_at


def test_the_same_bytes_are_one_blob_of_the_organization(run, cast, in_acme):
    attach(run, "a")
    attach(run, "b")
    attach(RunFactory(experiment__project=cast.churn), "c")
    assert Blob.objects.count() == 1


def test_two_organizations_share_no_blob(run, namesake, cast, in_acme):
    attach(run, "a")
    ours = Blob.objects.get(sha256=bytes_of(b"abc").sha256)
    mallory = Actor(kind="user", id=cast.mallory.pk, organization_id=cast.umbrella.pk)
    with tenant_transaction(mallory):
        attach(namesake, "a")
        theirs = Blob.objects.get(sha256=bytes_of(b"abc").sha256)
    assert theirs.pk != ours.pk
    assert theirs.organization_id == cast.umbrella.pk


CLASHES = [
    ("a", "a/b"),
    ("a", "a/b/c/d"),
    ("a/b", "a"),
    ("a/b/c", "a/b"),
    ("a/b/c", "a"),
    ("%_", "%_/x"),
    ("x/%_/y", "x/%_"),
]


@pytest.mark.parametrize("first,second", CLASHES)
def test_a_path_is_either_a_file_or_a_folder(run, in_acme, first, second):
    attach(run, first)
    with pytest.raises(InvalidInput, match="either a file or a folder"):
        attach(run, second)
    assert paths(run) == [first]


@pytest.mark.parametrize(
    "first,second",
    [
        ("a", "a.txt"),
        ("a/b", "ab"),
        ("a0", "a/b"),
        ("a", "A/b"),
        ("%", "x/y"),
        ("_", "a/b"),
    ],
)
def test_paths_that_only_begin_alike_do_not_clash(run, in_acme, first, second):
    attach(run, first)
    attach(run, second)
    assert paths(run) == sorted([first, second])


def test_a_deleted_run_takes_no_files(run, in_acme):
    run.deleted_at = datetime.now(UTC)
    with pytest.raises(InvalidInput, match="must be in the 'active' state"):
        attach(run, "a")
    with pytest.raises(InvalidInput, match="must be in the 'active' state"):
        remove_files(run, key=ArtifactKey("a"))
    assert not Package.objects.exists()


@pytest.mark.parametrize("status", ["processing", "error"])
def test_a_package_that_is_not_open_is_not_doubled(run, cast, in_acme, status):
    PackageFactory(
        project=cast.fraud, name=f"ml_candidate_{run.iid}", version="-", status=status
    )
    with pytest.raises(Conflict, match="is not open for files"):
        attach(run, "a")


@pytest.mark.parametrize(
    "ending", [{"status": "pending_destruction"}, {"deleted_at": datetime.now(UTC)}]
)
def test_a_dead_package_makes_room_for_another(run, in_acme, ending):
    first = attach(run, "a")
    Package.objects.filter(pk=first.pk).update(**ending)
    second = attach(run, "b")
    assert second != first
    assert [file.path for file in second.files.all()] == ["b"]


def test_a_package_of_the_same_name_elsewhere_is_left_alone(
    run, namesake, cast, in_acme
):
    sibling = RunFactory(experiment__project=cast.churn, iid=run.iid)
    candidate_package(sibling)
    package = attach(run, "a")
    assert package.project == cast.fraud
    assert not sibling.package.files.exists()


def test_attaching_takes_few_statements(run, in_acme, django_assert_num_queries):
    with django_assert_num_queries(2 + 4):
        attach(run, "a")  # savepoint; look, make, look again, attach; release
    with django_assert_num_queries(2 + 2):
        attach(run, "b")  # savepoint; look, attach; release


# Remove


def test_removing_takes_one_file_or_a_whole_folder(run, in_acme):
    for path in ("a/b", "a/c/d", "ab", "a.txt", "b"):
        attach(run, path)
    assert remove_files(run, key=ArtifactKey("b")) == 1
    assert remove_files(run, key=ArtifactKey("a")) == 2
    assert paths(run) == ["a.txt", "ab"]


def test_removing_what_is_not_there_changes_nothing(run, in_acme):
    assert remove_files(run, key=ArtifactKey("a")) == 0
    attach(run, "a")
    assert remove_files(run, key=ArtifactKey("b")) == 0
    assert paths(run) == ["a"]


def test_removing_takes_no_pattern_for_what_it_is_not(run, in_acme):
    for path in ("a%", "ab/c", "a_/c", "ax/c"):
        attach(run, path)
    assert remove_files(run, key=ArtifactKey("a_")) == 1
    assert remove_files(run, key=ArtifactKey("a%")) == 1
    assert paths(run) == ["ab/c", "ax/c"]


def test_removing_leaves_other_runs_and_the_blobs(run, cast, in_acme):
    other = RunFactory(experiment=run.experiment)
    attach(run, "a")
    attach(other, "a")
    remove_files(run, key=ArtifactKey("a"))
    assert (paths(run), paths(other)) == ([], ["a"])
    assert Blob.objects.count() == 1


def test_removing_takes_few_statements(run, in_acme, django_assert_num_queries):
    for number in range(20):
        attach(run, f"a/{number}")
    # Savepoint; look, is there a rule against it, is it in Production, delete; release.
    with django_assert_num_queries(2 + 4):
        assert remove_files(run, key=ArtifactKey("a")) == 20


# Folders


def listed(run: Run, folder: str = "") -> list[tuple[str, int | None]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT registry_list_artifacts(%s, %s, %s, %s, %s)",
            [run.organization_id, run.project_id, run.pk, run.experiment.iid, folder],
        )
        answer = json.loads(cursor.fetchone()[0])
    return [(file["path"], file.get("file_size")) for file in answer.get("files", ())]


def test_a_folder_is_what_the_paths_say(run, in_acme):
    for path in ("b/c/d", "b/c/e", "b/x", "a", "b.txt", "B", "é", "%/x", "_"):
        attach(run, path)
    assert listed(run) == [
        ("%", None),
        ("B", 3),
        ("_", 3),
        ("a", 3),
        ("b", None),
        ("b.txt", 3),
        ("é", 3),
    ]
    assert listed(run, "b") == [("c", None), ("x", 3)]
    assert listed(run, "b/c") == [("d", 3), ("e", 3)]
    assert listed(run, "%") == [("x", 3)]


@pytest.mark.parametrize("folder", ["a", "nope", "b/c/d", "B/c", "_/"])
def test_a_file_or_an_unknown_folder_lists_nothing(run, in_acme, folder):
    for path in ("a", "b/c/d", "xy/z"):
        attach(run, path)
    assert listed(run, folder) == []


def test_a_list_shows_nothing_of_other_packages(run, namesake, cast, in_acme):
    attach(run, "a")
    attach(RunFactory(experiment=run.experiment), "b")
    assert listed(run) == [("a", 3)]


def test_a_folder_of_a_thousand_is_one_statement(
    run, in_acme, django_assert_num_queries
):
    package = attach(run, "many/0000")
    file = package.files.get()
    PackageFile.objects.bulk_create(
        PackageFile(
            organization_id=run.organization_id,
            package=package,
            path=f"{folder}/{number:04}",
            size_bytes=number,
            sha256=file.sha256,
            blob=file.blob,
        )
        for folder in ("many", "more/deep")
        for number in range(1, 1000)
    )
    with django_assert_num_queries(1):
        rows = listed(run, "many")
    assert len(rows) == 1000
    assert rows[1:] == [(f"{number:04}", number) for number in range(1, 1000)]
    assert listed(run) == [("many", None), ("more", None)]


FILL = """
INSERT INTO package_files (id, organization_id, package_id, path, blob_id, sha256,
                           size_bytes, created_at, updated_at)
SELECT gen_random_uuid(), organization_id, package_id, 'other/' || n, blob_id, sha256,
       size_bytes, created_at, updated_at
FROM package_files, generate_series(1, 20000) AS n WHERE path = 'few/0'
"""
READ = """
SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables
WHERE relname = 'package_files'
"""


def test_a_small_folder_of_a_large_package_reads_its_own_files(run, in_acme):
    for number in range(10):
        attach(run, f"few/{number}")
    for _ in range(8):  # more than it takes to settle on a plan, for a small table
        listed(run, "few")
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(FILL)
        cursor.execute("ANALYZE package_files")
        cursor.execute("SET ROLE app_rw")
        for _ in range(8):
            cursor.execute(READ)
            scanned, fetched = cursor.fetchone()
            assert len(listed(run, "few")) == 10
            cursor.execute(READ)
            assert cursor.fetchone() == (scanned, fetched + 10)
    assert listed(run) == [("few", None), ("other", None)]


# Two at once: real connections, real commits


@pytest.fixture
def committed(transactional_db):
    """A run that other connections see; all of its organization is removed after."""
    organization = OrganizationFactory(slug=f"race-{time.monotonic_ns()}")
    project = ProjectFactory(organization=organization)
    run = RunFactory(experiment=ExperimentFactory(project=project))
    try:
        yield run
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            for table in tables_with_organization(cursor):
                cursor.execute(
                    f"DELETE FROM {table} WHERE organization_id = %s", [organization.pk]
                )
            cursor.execute("DELETE FROM organizations WHERE id = %s", [organization.pk])
            cursor.execute("SET session_replication_role = origin")


def tables_with_organization(cursor) -> list[str]:
    cursor.execute(
        "SELECT table_name FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_schema = 'public' AND column_name = 'organization_id'"
        " AND table_type = 'BASE TABLE'"
    )
    return [name for (name,) in cursor.fetchall()]


class Rival(threading.Thread):
    """Attaches a file in a connection of its own."""

    def __init__(self, run: Run, path: str, content: bytes = b"abc"):
        super().__init__()
        self.run_to_fill, self.path, self.content = run, path, content
        self.outcome: object = None

    def run(self) -> None:
        try:
            with tenant_transaction(actor_of(self.run_to_fill)):
                run = Run.objects.get(pk=self.run_to_fill.pk)
                self.outcome = attach(run, self.path, self.content)
        except Exception as error:
            self.outcome = error
        finally:
            connections["default"].close()


def actor_of(run: Run) -> Actor:
    return Actor(kind="command", label="test", organization_id=run.organization_id)


def wait_until_blocked() -> None:
    """Return when a backend of this database waits for another's lock."""
    statement = (
        "SELECT pg_stat_clear_snapshot(); SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute(statement)
            cursor.nextset()
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("content", [b"abc", b"other"], ids=["same", "other"])
def test_of_two_that_make_the_package_the_loser_gets_it_back(committed, content):
    rival = Rival(committed, "b", content)
    with tenant_transaction(actor_of(committed)):
        ours = attach(committed, "a")
        rival.start()
        wait_until_blocked()
    rival.join()
    assert rival.outcome == ours
    with tenant_transaction(actor_of(committed)):
        assert Package.objects.count() == 1
        assert paths(committed) == ["a", "b"]


def test_of_two_paths_that_clash_only_one_is_stored(committed):
    rival = Rival(committed, "a/b")
    with tenant_transaction(actor_of(committed)):
        attach(committed, "a")
        rival.start()
        wait_until_blocked()
    rival.join()
    assert isinstance(rival.outcome, InvalidInput)
    with tenant_transaction(actor_of(committed)):
        assert paths(committed) == ["a"]


def test_two_runs_that_store_the_same_bytes_share_the_blob(committed):
    with tenant_transaction(actor_of(committed)):
        other = RunFactory(experiment=committed.experiment)
    rival = Rival(other, "b")
    with tenant_transaction(actor_of(committed)):
        attach(committed, "a")
        rival.start()
        wait_until_blocked()
    rival.join()
    assert isinstance(rival.outcome, Package)
    with tenant_transaction(actor_of(committed)):
        assert Blob.objects.count() == 1
        assert (paths(committed), paths(other)) == (["a"], ["b"])


def test_many_that_fill_one_run_lose_nothing(committed):
    rivals = [Rival(committed, f"folder/{number}") for number in range(12)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    assert len({rival.outcome for rival in rivals}) == 1
    with tenant_transaction(actor_of(committed)):
        assert len(paths(committed)) == 12

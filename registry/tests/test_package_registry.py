"""Packages as rows: lists, pages, deletion; protection rules; archives; downloads."""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import override_settings
from django.utils import timezone

from audit.models import AuditLog
from conftest import client_of
from registry.models import Package, PackageFile, PackageProtectionRule
from registry.services import downloads
from registry.services import packages as services
from registry.tests.factories import (
    ModelVersionFactory,
    PackageFactory,
    PackageFileFactory,
    RunFactory,
    candidate_package,
)
from tenants.models import Project, ProjectMember
from tenants.tests.factories import make_api_token

FRAUD = "/api/v1/organizations/acme/projects/fraud/"
PACKAGES = FRAUD + "packages/"
RULES = FRAUD + "package-protection-rules/"
JSON = {"content_type": "application/json"}


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def editor(cast):
    """Bob, for once an editor of fraud."""
    ProjectMember._base_manager.filter(user=cast.bob).update(role="editor")
    return client_of(make_api_token(cast.bob, cast.acme).text)


@pytest.fixture
def maintainer(cast):
    """Bob, for once a maintainer of fraud."""
    ProjectMember._base_manager.filter(user=cast.bob).update(role="maintainer")
    return client_of(make_api_token(cast.bob, cast.acme).text)


def put(client, path, body=b"bytes"):
    return client.generic("PUT", PACKAGES + path, body, "application/octet-stream")


def rows_of(client, address):
    response = client.get(address)
    assert response.status_code == 200, response.content
    return response.json()["results"]


def names_of(client, query=""):
    return [row["name"] for row in rows_of(client, PACKAGES + query)]


def error_of(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["message"]


def address_of(package) -> str:
    return f"{PACKAGES}{package.pk}/"


# Lists


@pytest.fixture
def shelf(cast):
    """Packages whose orders differ from one another."""
    rows = [
        ("delta", "2", "generic"),
        ("alpha", "3", "model"),
        ("charlie", "1", "generic"),
        ("alpha", "1", "model"),
    ]
    return [
        PackageFactory(project=cast.fraud, name=name, version=version, type=kind)
        for name, version, kind in rows
    ]


@pytest.mark.parametrize(
    "order,expected",
    [
        ("created", [0, 1, 2, 3]),
        ("-created", [3, 2, 1, 0]),
        ("name", [3, 1, 2, 0]),
        ("-name", [0, 2, 1, 3]),
        ("version", [2, 3, 0, 1]),
        ("-version", [1, 0, 3, 2]),
        ("type", [0, 2, 1, 3]),
        ("-type", [3, 1, 2, 0]),
    ],
)
@pytest.mark.parametrize("limit", [1, 3])
def test_every_order_is_paged_without_a_gap(alice, shelf, order, expected, limit):
    found, address = [], f"{PACKAGES}?order={order}&limit={limit}"
    while address:
        page = alice.get(address).json()
        found += [row["id"] for row in page["results"]]
        address = page["next"]
    assert found == [str(shelf[place].pk) for place in expected]


@pytest.mark.parametrize(
    "query,expected",
    [
        ("?name=alpha", ["alpha", "alpha"]),
        ("?name=alpha&version=1", ["alpha"]),
        ("?name_contains=LT", ["delta"]),
        ("?name_contains=l_", []),
        ("?type=generic", ["charlie", "delta"]),
        ("?version=1", ["alpha", "charlie"]),
        ("?status=hidden", []),
    ],
)
def test_packages_are_found_by(alice, shelf, query, expected):
    assert sorted(names_of(alice, query)) == expected


@pytest.mark.parametrize(
    "query,said",
    [
        ("?order=size", "order='size'"),
        ("?name_contains=a", "name_contains='a'"),
        ("?status=gone", "status='gone'"),
        ("?type=docker", "type='docker'"),
    ],
)
def test_what_lists_do_not_know_is_refused(alice, query, said):
    status, message = error_of(alice.get(PACKAGES + query))
    assert status == 400
    assert said in message


def test_hidden_packages_are_listed_when_asked_for_only(alice, cast):
    PackageFactory(project=cast.fraud, name="seen")
    hidden = PackageFactory(project=cast.fraud, name="unseen", status="hidden")
    PackageFactory(project=cast.fraud, name="under-way", status="processing")
    assert names_of(alice) == ["seen"]
    assert names_of(alice, "?status=hidden") == ["unseen"]
    assert alice.get(address_of(hidden)).status_code == 200


def test_files_are_paged_by_prefix(alice, cast):
    package = PackageFactory(project=cast.fraud)
    for path in ("a/1", "a/2", "ab", "b/1"):
        PackageFileFactory(package=package, path=path)
    page = alice.get(address_of(package) + "?prefix=a/&limit=1").json()["files"]
    assert [file["path"] for file in page["results"]] == ["a/1"]
    page = alice.get(page["next"]).json()["files"]
    assert [file["path"] for file in page["results"]] == ["a/2"]
    assert page["next"] is None


@pytest.mark.parametrize("rows", [1, 20])
def test_lists_and_pages_cost_the_same_at_any_size(alice, cast, rows):
    for package in PackageFactory.create_batch(rows, project=cast.fraud):
        PackageFileFactory.create_batch(2, package=package)
    address = address_of(Package._base_manager.first())
    listed = alice.get(PACKAGES + "?limit=200")
    assert len(listed.json()["results"]) == rows
    # Savepoint, admission, packages; release.
    assert listed["X-Query-Count"] == "4"
    assert alice.get(address)["X-Query-Count"] == "5"  # and files


def test_no_package_shows_to_strangers(alice, mallory, cast):
    package = PackageFactory(project=cast.fraud, name="secret")
    theirs = PackageFactory(project=cast.umbrella_fraud, name="theirs")
    churn = PackageFactory(project=cast.churn, name="sibling")
    assert names_of(alice) == ["secret"]
    for client, asked in [(mallory, package), (alice, theirs), (alice, churn)]:
        for method, suffix in [
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "restore/"),
            ("GET", "manifest/"),
            ("GET", "archive/"),
        ]:
            answer = client.generic(method, address_of(asked) + suffix, b"{}", **JSON)
            assert answer.status_code == 404, (method, suffix)
    assert Package._base_manager.filter(deleted_at=None).count() == 3


# Change, delete, restore


def test_a_package_changes_its_status_and_metadata(editor, cast):
    package = PackageFactory(project=cast.fraud)
    change = {"status": "deprecated", "metadata": {"why": "old"}}
    changed = editor.patch(address_of(package), change, **JSON)
    assert changed.status_code == 200, changed.content
    shown = editor.get(address_of(package)).json()
    assert (shown["status"], shown["metadata"]) == ("deprecated", {"why": "old"})


@pytest.mark.parametrize("status", ["error", "processing", "pending_destruction", "x"])
def test_some_statuses_are_not_for_people(alice, cast, status):
    package = PackageFactory(project=cast.fraud)
    refused = alice.patch(address_of(package), {"status": status}, **JSON)
    assert refused.status_code == 400


def test_a_name_stays(alice, cast):
    package = PackageFactory(project=cast.fraud, name="tool")
    alice.patch(address_of(package), {"name": "other"}, **JSON)
    assert alice.get(address_of(package)).json()["name"] == "tool"


def test_a_deleted_package_is_gone_until_it_is_restored(alice, cast):
    put(alice, "tool/1.0/a?status=hidden")
    package = Package._base_manager.get()
    assert alice.delete(address_of(package)).status_code == 204
    assert alice.delete(address_of(package)).status_code == 204
    assert alice.get(PACKAGES + "tool/1.0/a").status_code == 404
    assert names_of(alice, "?status=hidden") == []
    assert names_of(alice, "?status=pending_destruction") == ["tool"]
    restored = alice.post(address_of(package) + "restore/").json()
    assert (restored["status"], restored["deleted_at"]) == ("hidden", None)
    assert alice.get(PACKAGES + "tool/1.0/a").status_code == 200


def test_a_deleted_packages_name_is_free_and_may_be_taken(alice):
    put(alice, "tool/1.0/a")
    package = Package._base_manager.get()
    alice.delete(address_of(package))
    assert put(alice, "tool/1.0/a", b"new").status_code == 201
    status, message = error_of(alice.post(address_of(package) + "restore/"))
    assert status == 409
    assert "Name 'tool' version '1.0'" in message


def test_editors_delete_no_packages(editor, cast):
    package = PackageFactory(project=cast.fraud)
    assert editor.delete(address_of(package)).status_code == 403
    assert editor.post(address_of(package) + "restore/").status_code == 403


def test_a_registered_package_is_not_deleted(alice, cast):
    package = PackageFactory(project=cast.fraud, name="tool")
    version = ModelVersionFactory(
        registered_model__project=cast.fraud,
        registered_model__name="scorer",
        package=package,
        version=3,
    )
    status, message = error_of(alice.delete(address_of(package)))
    assert (status, "scorer version 3" in message) == (409, True)
    type(version)._base_manager.update(deleted_at=timezone.now())
    assert alice.delete(address_of(package)).status_code == 204


def test_a_deletion_is_one_entry_of_the_trail(alice, cast):
    package = PackageFactory(project=cast.fraud)
    before = AuditLog._base_manager.count()
    alice.delete(address_of(package))
    assert AuditLog._base_manager.count() == before + 1


# Protection rules


def rule(client, **body):
    return client.post(RULES, body, **JSON)


def test_a_rule_keeps_packages_from_whoever_lacks_the_role(alice, editor):
    made = rule(alice, name_pattern="release-*", push_role="maintainer")
    assert made.status_code == 201, made.content
    status, message = error_of(put(editor, "release-1/1.0/a"))
    assert status == 403
    assert "'release-*'" in message
    assert "maintainer" in message
    assert put(editor, "nightly/1.0/a").status_code == 201
    assert put(alice, "release-1/1.0/a").status_code == 201
    package = Package._base_manager.get(name="release-1")
    refused = editor.patch(address_of(package), {"status": "hidden"}, **JSON)
    assert refused.status_code == 403


@pytest.mark.parametrize("role,allowed", [("maintainer", 204), ("admin", 403)])
def test_a_rule_keeps_packages_from_being_deleted(alice, maintainer, role, allowed):
    rule(alice, name_pattern="*", delete_role=role)
    put(maintainer, "tool/1.0/a")
    put(maintainer, "tool/1.0/b")
    package = Package._base_manager.get()
    assert maintainer.delete(PACKAGES + "tool/1.0/a").status_code == allowed
    assert maintainer.delete(address_of(package)).status_code == allowed
    assert alice.delete(address_of(package)).status_code == 204


@pytest.mark.parametrize(
    "pattern,name,protected",
    [
        ("tool", "tool", True),
        ("tool", "tools", False),
        ("to*", "tool", True),
        ("*ol", "tool", True),
        ("t*l", "tool", True),
        ("*", "tool", True),
        ("t__l", "tool", False),
        ("%", "tool", False),
        ("TOOL", "tool", False),
        ("t\\*", "tool", False),
        ("a_b", "a_b", True),
    ],
)
def test_only_the_star_stands_for_something(alice, editor, pattern, name, protected):
    rule(alice, name_pattern=pattern, push_role="owner")
    expected = 403 if protected else 201
    assert put(editor, f"{name}/1.0/a").status_code == expected


def test_a_rule_may_be_for_one_type(alice, editor):
    rule(alice, name_pattern="*", package_type="model", push_role="maintainer")
    assert put(editor, "tool/1.0/a").status_code == 201
    assert put(editor, "net/1.0/a?type=model").status_code == 403


def test_a_rule_holds_for_mlflows_clients_as_well(alice, cast, editor):
    run = RunFactory(experiment__project=cast.fraud)
    rule(alice, name_pattern="ml_candidate_*", push_role="admin", delete_role="admin")
    address = (
        f"/mlflow/acme/fraud/api/2.0/mlflow-artifacts/artifacts/{run.experiment.iid}"
        f"/{run.pk.hex}/artifacts/a"
    )
    refused = editor.generic("PUT", address, b"bytes", "application/octet-stream")
    assert refused.status_code == 403
    assert "ml_candidate_*" in refused.json()["message"]
    assert not Package._base_manager.exists()
    assert alice.generic("PUT", address, b"bytes").status_code == 200


def test_rules_of_other_projects_protect_nothing_here(alice, editor, cast):
    PackageProtectionRule(
        organization=cast.acme, project=cast.churn, name_pattern="*", push_role="owner"
    ).save()
    assert put(editor, "tool/1.0/a").status_code == 201


def test_rules_are_seen_by_readers_and_changed_by_maintainers(
    alice, bob, maintainer, mallory
):
    made = rule(maintainer, name_pattern="a*", push_role="admin").json()
    address = f"{RULES}{made['id']}/"
    assert bob.get(address).json()["push_role"] == "admin"
    changed = maintainer.patch(address, {"delete_role": "owner"}, **JSON).json()
    assert (changed["push_role"], changed["delete_role"]) == ("admin", "owner")
    assert mallory.get(address).status_code == 404
    assert maintainer.delete(address).status_code == 204
    assert rows_of(alice, RULES) == []


def test_editors_change_no_rules(alice, editor):
    made = rule(alice, name_pattern="a*", push_role="admin").json()
    assert rule(editor, name_pattern="b*", push_role="admin").status_code == 403
    assert editor.delete(f"{RULES}{made['id']}/").status_code == 403


@pytest.mark.parametrize(
    "body,said",
    [
        ({"name_pattern": "a"}, "push_role and delete_role"),
        ({"name_pattern": "", "push_role": "admin"}, "name_pattern"),
        ({"name_pattern": " a", "push_role": "admin"}, "name_pattern=' a'"),
        ({"name_pattern": "a", "push_role": "viewer"}, "push_role"),
        ({"name_pattern": "a", "push_role": "admin", "package_type": "x"}, "x"),
        ({"push_role": "admin"}, "name_pattern"),
    ],
)
def test_a_rule_that_protects_nothing_is_refused(alice, body, said):
    status, message = error_of(rule(alice, **body))
    assert status == 400
    assert said in message


def test_a_pattern_has_one_rule_per_type(alice):
    body = {"name_pattern": "a*", "push_role": "admin"}
    assert rule(alice, **body).status_code == 201
    assert rule(alice, **body, package_type="model").status_code == 201
    status, message = error_of(rule(alice, **body))
    assert (status, "'a*'" in message) == (409, True)


def test_a_rule_never_stops_protecting_by_a_change(alice):
    made = rule(alice, name_pattern="a*", push_role="admin").json()
    refused = alice.patch(f"{RULES}{made['id']}/", {"push_role": ""}, **JSON)
    assert refused.status_code == 400


def test_the_database_refuses_an_idle_rule(cast):
    idle = PackageProtectionRule(
        organization=cast.acme, project=cast.fraud, name_pattern="*"
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        idle.save()


# Archives and manifests


TREE = {
    "a.txt": b"a",
    "model/MLmodel": b"flavors",
    "model/data/größe.bin": b"\x00" * 99,
}


@pytest.fixture
def tree(alice):
    for path, body in TREE.items():
        assert put(alice, f"net/2/{path}", body).status_code == 201
    return Package._base_manager.get()


def archive_of(client, package, query="") -> zipfile.ZipFile:
    response = client.get(address_of(package) + "archive/" + query)
    assert response.status_code == 200, response.content
    return zipfile.ZipFile(io.BytesIO(b"".join(response)))


def test_an_archive_is_the_package(alice, tree):
    archive = archive_of(alice, tree)
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == TREE


def test_an_archive_of_a_folder_begins_with_it(alice, tree):
    assert archive_of(alice, tree, "?folder=model").namelist() == [
        "model/MLmodel",
        "model/data/größe.bin",
    ]
    inner = archive_of(alice, tree, "?folder=model/data/")
    assert inner.namelist() == ["data/größe.bin"]


def test_an_archive_is_named_and_harmless(alice, tree):
    response = alice.get(address_of(tree) + "archive/?folder=model")
    assert response["Content-Type"] == "application/zip"
    assert response["Content-Disposition"] == 'attachment; filename="net-2-model.zip"'
    assert response["X-Content-Type-Options"] == "nosniff"
    list(response)


def test_an_archive_is_not_sent_twice(alice, tree):
    tag = alice.head(address_of(tree) + "archive/")["ETag"]
    again = alice.get(address_of(tree) + "archive/", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    put(alice, "net/2/new")
    assert alice.head(address_of(tree) + "archive/")["ETag"] != tag


def test_a_manifest_tells_all_digests(alice, tree):
    shown = alice.get(address_of(tree) + "manifest/").json()
    assert {f["path"]: f["sha256"] for f in shown["files"]} == {
        path: hashlib.sha256(body).hexdigest() for path, body in TREE.items()
    }
    assert (shown["file_count"], shown["total_bytes"]) == (3, 107)
    part = alice.get(address_of(tree) + "manifest/?folder=model/data").json()
    assert [f["path"] for f in part["files"]] == ["model/data/größe.bin"]


@pytest.mark.parametrize("action", ["archive", "manifest"])
@pytest.mark.parametrize(
    "query,status",
    [
        ("?folder=none", 404),
        ("?folder=a.txt", 404),
        ("?folder=../x", 400),
        ("?folder=mod", 404),
        ("?dir=model", 400),
    ],
)
def test_what_is_no_folder_is_refused(alice, tree, action, query, status):
    answer = alice.get(f"{address_of(tree)}{action}/{query}")
    assert answer.status_code == status


def test_too_many_files_are_taken_folder_by_folder(alice, tree, monkeypatch):
    monkeypatch.setattr(services, "MOST_FILES", 2)
    for action in ("archive", "manifest"):
        assert alice.get(f"{address_of(tree)}{action}/").status_code == 413
        part = alice.get(f"{address_of(tree)}{action}/?folder=model")
        assert part.status_code == 200


def test_an_archive_costs_few_statements_at_any_size(alice, cast):
    costs = set()
    for size in (1, 20, 100):
        package = PackageFactory(project=cast.fraud)
        PackageFileFactory.create_batch(size, package=package)
        head = alice.head(address_of(package) + "archive/")
        costs.add(head["X-Query-Count"])
    assert costs == {"5"}  # savepoint, admission, package, files, release


# Downloads


@pytest.fixture
def noting(monkeypatch):
    """A notebook that writes when it is told to."""
    monkeypatch.setattr(downloads.notebook, "start_writing", lambda: None)
    downloads.notebook.begin_anew()
    with override_settings(DOWNLOAD_NOTE_SECONDS=60):
        yield
    downloads.notebook.begin_anew()


def test_a_download_is_noted_once_and_written_later(alice, cast, noting):
    run = RunFactory(experiment__project=cast.fraud)
    put(alice, "tool/1.0/a")
    put(alice, "other/1.0/a")
    put(alice, f"ml_candidate_{run.iid}/-/a")
    alice.head(PACKAGES + "tool/1.0/a")
    assert downloads.flush() == 0
    for _ in range(3):
        list(alice.get(PACKAGES + "tool/1.0/a"))
    list(
        alice.get(
            f"/mlflow/acme/fraud/get-artifact?run_id={run.pk.hex}&path=a",
        )
    )
    before = AuditLog._base_manager.count()
    assert downloads.flush() == 2
    noted = Package._base_manager.exclude(last_downloaded_at=None)
    assert {package.name for package in noted} == {"tool", f"ml_candidate_{run.iid}"}
    assert AuditLog._base_manager.count() == before, "a download is no change"
    list(alice.get(PACKAGES + "tool/1.0/a"))
    assert downloads.flush() == 0, "noted just before"
    long_ago = timezone.now() - timedelta(hours=1)
    Package._base_manager.update(last_downloaded_at=long_ago)
    list(alice.get(PACKAGES + "tool/1.0/a"))
    assert downloads.flush() == 1
    shown = alice.get(address_of(Package._base_manager.get(name="tool"))).json()
    assert shown["last_downloaded_at"] is not None


def test_notes_of_two_organizations_are_written_apart(alice, mallory, cast, noting):
    put(alice, "tool/1.0/a")
    theirs = PACKAGES.replace("acme", "umbrella") + "tool/1.0/a"
    mallory.generic("PUT", theirs, b"x")
    list(alice.get(PACKAGES + "tool/1.0/a"))
    list(mallory.get(theirs))
    assert downloads.flush() == 2
    assert PackageFile._base_manager.count() == 2


def test_a_candidates_package_is_listed_with_the_others(alice, cast):
    run = RunFactory(experiment__project=cast.fraud)
    candidate_package(run, files=2)
    (row,) = rows_of(alice, PACKAGES)
    assert (row["name"], row["file_count"]) == (f"ml_candidate_{run.iid}", 2)


# Of a whole organization

EVERYWHERE = "/api/v1/organizations/acme/packages/"


def listed(client, address=EVERYWHERE):
    return [(row["project"], row["name"]) for row in rows_of(client, address)]


@pytest.fixture
def spread(cast):
    """A package of the same name in each project, fraud's first."""
    for project in (cast.fraud, cast.churn, cast.umbrella_fraud):
        PackageFactory(project=project, name="tables")


def test_an_organization_lists_the_packages_of_its_projects(alice, spread):
    assert listed(alice) == [("churn", "tables"), ("fraud", "tables")]
    assert listed(alice, f"{EVERYWHERE}?project=fraud") == [("fraud", "tables")]
    assert listed(alice, f"{EVERYWHERE}?name=chairs") == []


def test_its_pages_go_on_where_they_ended(alice, spread):
    first = alice.get(f"{EVERYWHERE}?limit=1").json()
    assert [row["project"] for row in first["results"]] == ["churn"]
    assert listed(alice, first["next"]) == [("fraud", "tables")]


def test_a_project_that_is_closed_to_the_caller_is_left_out(bob, cast, spread):
    Project._base_manager.filter(pk=cast.churn.pk).update(default_role="none")
    assert listed(bob) == [("fraud", "tables")]
    assert rows_of(bob, f"{EVERYWHERE}?project=churn") == []


def test_a_token_of_one_project_lists_that_project(alice_in_fraud, spread):
    assert listed(alice_in_fraud) == [("fraud", "tables")]


def test_a_project_without_tracking_or_deleted_is_left_out(alice, cast, spread):
    rows = Project._base_manager.filter(pk=cast.churn.pk)
    rows.update(switched_off=["tracking"])
    assert listed(alice) == [("fraud", "tables")]
    rows.update(switched_off=[], deleted_at=timezone.now())
    assert listed(alice) == [("fraud", "tables")]


def test_a_token_that_lends_no_artifacts_lists_none(cast, spread):
    scopes = ["organization:read", "tracking:read"]
    narrow = client_of(make_api_token(cast.alice, cast.acme, permissions=scopes).text)
    response = narrow.get(EVERYWHERE)
    assert response.status_code == 403
    assert "artifacts:read" in response.json()["error"]["message"]


def test_the_packages_of_another_organization_are_not_found(mallory, spread):
    absent = mallory.get("/api/v1/organizations/nowhere/packages/")
    foreign = mallory.get(EVERYWHERE)
    assert foreign.status_code == absent.status_code == 404
    assert foreign.json()["error"]["message"] == absent.json()["error"]["message"]

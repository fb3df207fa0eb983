"""What packages hold, counted by triggers, and the limits of projects and tenants."""

from __future__ import annotations

import json
import threading
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test import override_settings

from registry.models import Package, PackageFile, StorageUsage
from registry.services import storage_usage
from registry.tests.factories import (
    BlobFactory,
    PackageFactory,
    PackageFileFactory,
    RunFactory,
)
from registry.tests.test_package_files import put
from tenants.context import acting_as
from tenants.models import Organization, Project

FRAUD = "/api/v1/organizations/acme/projects/fraud/"
PACKAGES = FRAUD + "packages/"
JSON = {"content_type": "application/json"}
MB = 10**6


pytestmark = pytest.mark.usefixtures("store")


def held(project) -> tuple[int, int]:
    row = StorageUsage._base_manager.filter(project=project).first()
    return (row.size_bytes, row.file_count) if row else (0, 0)


def limit(row, **limits) -> None:
    type(row)._base_manager.filter(pk=row.pk).update(
        **{f"storage_limit_{name}": most for name, most in limits.items()}
    )


def refusal(response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]


# Counting


def test_every_change_of_files_is_counted(alice, cast):
    put(alice, PACKAGES + "a/1/x", b"12345")
    put(alice, PACKAGES + "a/1/y", b"123")
    assert held(cast.fraud) == (8, 2)
    put(alice, PACKAGES + "a/1/x", b"1")
    assert held(cast.fraud) == (4, 2)
    put(alice, PACKAGES + "a/1/x", b"1")
    assert held(cast.fraud) == (4, 2)
    alice.delete(PACKAGES + "a/1/y")
    assert held(cast.fraud) == (1, 1)
    assert held(cast.churn) == (0, 0)


def test_many_files_at_once_are_counted_by_project(cast):
    packages = [PackageFactory(project=p) for p in (cast.fraud, cast.churn)]
    blob = BlobFactory(organization=cast.acme, size_bytes=7)
    PackageFile._base_manager.bulk_create(
        PackageFileFactory.build(
            package=package, blob=blob, organization=cast.acme, sha256=blob.sha256,
            size_bytes=7, path=f"{number}",
        )
        for package in packages
        for number in range(3)
    )  # fmt: skip
    assert [held(p) for p in (cast.fraud, cast.churn)] == [(21, 3), (21, 3)]
    PackageFile._base_manager.filter(package=packages[0]).update(size_bytes=10)
    PackageFile._base_manager.filter(package=packages[1], path="0").delete()
    assert [held(p) for p in (cast.fraud, cast.churn)] == [(30, 3), (14, 2)]


def test_a_deleted_package_counts_no_more_and_a_restored_one_again(alice, cast):
    put(alice, PACKAGES + "a/1/x", b"12345")
    put(alice, PACKAGES + "b/1/x", b"1")
    address = f"{PACKAGES}{Package._base_manager.get(name='a').pk}/"
    alice.delete(address)
    assert held(cast.fraud) == (1, 1)
    PackageFile._base_manager.filter(package__name="a").update(size_bytes=50)
    assert held(cast.fraud) == (1, 1)
    alice.post(address + "restore/")
    assert held(cast.fraud) == (51, 2)


def test_what_mlflows_clients_store_is_counted(alice_in_fraud, cast):
    run = RunFactory(experiment__project=cast.fraud)
    address = (
        f"/api/2.0/mlflow-artifacts/artifacts/{run.experiment.iid}/{run.pk.hex}"
        "/artifacts/model"
    )
    assert alice_in_fraud.put(address, b"12345").status_code == 200
    assert held(cast.fraud) == (5, 1)
    limit(cast.fraud, bytes=8)
    refused = alice_in_fraud.put(address + "2", b"1234")
    assert refused.status_code == 413
    assert "hold 5 of 8 bytes" in refused.json()["message"]
    assert alice_in_fraud.put(address, b"12345678").status_code == 200
    assert alice_in_fraud.delete(address).status_code == 200
    assert held(cast.fraud) == (0, 0)


# Limits


def test_an_upload_that_does_not_fit_is_refused_with_the_numbers(alice, cast):
    limit(cast.fraud, bytes=10)
    put(alice, PACKAGES + "a/1/x", b"12345678")
    status, code, message = refusal(put(alice, PACKAGES + "a/1/y", b"123"))
    assert (status, code) == (413, "quota_exceeded")
    assert "3 more bytes do not fit" in message
    assert "hold 8 of 10 bytes" in message
    assert put(alice, PACKAGES + "a/1/y", b"12").status_code == 201
    assert held(cast.fraud) == (10, 2)


def test_one_file_too_many_is_refused_with_the_numbers(alice, cast):
    limit(cast.fraud, files=1)
    put(alice, PACKAGES + "a/1/x", b"1")
    status, code, message = refusal(put(alice, PACKAGES + "a/1/y", b"1"))
    assert (status, code) == (409, "quota_exceeded")
    assert "hold 1 of 1 files" in message
    assert put(alice, PACKAGES + "a/1/x", b"other").status_code == 200


def test_a_full_project_still_replaces_and_removes(alice, cast):
    put(alice, PACKAGES + "a/1/x", b"12345678")
    limit(cast.fraud, bytes=4, files=1)
    assert put(alice, PACKAGES + "a/1/x", b"1234567").status_code == 200
    assert put(alice, PACKAGES + "a/1/x", b"12345678").status_code == 413
    assert alice.delete(PACKAGES + "a/1/x").status_code == 204


def test_an_organizations_limit_holds_for_all_its_projects_together(alice, cast):
    limit(cast.acme, bytes=10)
    put(alice, PACKAGES + "a/1/x", b"12345678")
    churn = PACKAGES.replace("fraud", "churn")
    status, _, message = refusal(put(alice, churn + "a/1/x", b"123"))
    assert status == 413
    assert "of this organization hold 8 of 10 bytes" in message
    assert put(alice, churn + "a/1/x", b"12").status_code == 201


def test_an_installation_may_limit_all_who_have_no_limit_of_their_own(alice, cast):
    own = dict.fromkeys(
        ("organization_bytes", "organization_files", "project_bytes", "project_files"),
        0,
    )
    with override_settings(STORAGE_LIMITS={**own, "project_bytes": 4}):
        assert put(alice, PACKAGES + "a/1/x", b"12345").status_code == 413
        limit(cast.fraud, bytes=5)
        assert put(alice, PACKAGES + "a/1/x", b"12345").status_code == 201


def test_an_upload_is_refused_before_its_bytes_are_read(alice, cast, tmp_path):
    limit(cast.fraud, bytes=MB)
    assert put(alice, PACKAGES + "a/1/x", b"x" * (MB + 1)).status_code == 413
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_package_that_fits_no_more_is_not_restored(alice, cast):
    put(alice, PACKAGES + "a/1/x", b"12345")
    address = f"{PACKAGES}{Package._base_manager.get().pk}/"
    alice.delete(address)
    limit(cast.fraud, bytes=8)
    put(alice, PACKAGES + "b/1/x", b"1234")
    status, _, message = refusal(alice.post(address + "restore/"))
    assert status == 413
    assert "hold 4 of 8 bytes" in message
    assert held(cast.fraud) == (4, 1)


def test_no_limit_costs_no_statement_of_its_own(alice, cast):
    put(alice, PACKAGES + "a/1/x")
    costs = []
    for number, limits in enumerate(({}, {"bytes": MB}, {"files": 100})):
        limit(cast.fraud, **limits)
        answer = put(alice, f"{PACKAGES}a/1/{number}")
        costs.append(int(answer["X-Query-Count"]) - bool(limits))
    assert len({*costs}) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("of", ["project", "organization"])
def test_many_at_once_never_exceed_a_limit(committed, of):
    """Twelve files of 10 bytes into two projects; a limit lets four of them in."""
    run = RunFactory(experiment__project=Project._base_manager.latest("id"))
    owner = run.project if of == "project" else run.organization
    limit(owner, bytes=45)
    other = Project(organization=run.organization, slug="other", name="other")
    if of == "organization":
        other.save(force_insert=True)
    statuses = []

    def store(number: int) -> None:
        place = other if of == "organization" and number % 2 else run.project
        try:
            with acting_as("job:test", organization=run.organization_id):
                package = PackageFactory.build(
                    project=place, organization=run.organization, name=f"p{number}"
                )
                package.save(force_insert=True)
                attach(package, number)
            statuses.append(201)
        except storage_usage.NoRoom:
            statuses.append(413)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=store, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] * 4 + [413] * 8
    total = sum(row.size_bytes for row in StorageUsage._base_manager.filter(
        organization=run.organization))  # fmt: skip
    assert total == 40


def attach(package: Package, number: int) -> None:
    from registry.services.packages import attach_to
    from registry.storage import ArtifactKey, StoredBlob

    attach_to(package, key=ArtifactKey("x"), blob=StoredBlob(f"{number:064x}", 10))


# What people see


def test_a_projects_storage_shows_and_its_admins_set_the_limit(alice, bob, cast):
    put(alice, PACKAGES + "a/1/x", b"12345")
    changed = alice.patch(FRAUD, {"storage_limit_bytes": 100}, **JSON)
    assert changed.json()["storage_limit_bytes"] == 100
    shown = alice.get(FRAUD + "storage/").json()
    project = {
        "size_bytes": 5,
        "file_count": 1,
        "limit_bytes": 100,
        "limit_files": None,
    }
    whole = {**project, "limit_bytes": None}
    assert shown == {"project": project, "organization": whole}
    assert bob.get(FRAUD + "storage/").json() == {
        "project": project,
        "organization": None,
    }
    assert bob.patch(FRAUD, {"storage_limit_bytes": 1}, **JSON).status_code == 403


@pytest.mark.parametrize("most", [-1, "x", 2**63, 1.5])
def test_a_limit_is_a_number_of_bytes(alice, cast, most):
    assert alice.patch(FRAUD, {"storage_limit_bytes": most}, **JSON).status_code == 400


def test_an_organizations_limit_is_not_its_own_to_change(alice, cast):
    limit(cast.acme, files=5)
    address = "/api/v1/organizations/acme/"
    alice.patch(address, {"storage_limit_files": 500}, **JSON)
    assert alice.get(address).json()["storage_limit_files"] == 5
    assert Organization._base_manager.get(pk=cast.acme.pk).storage_limit_files == 5


def test_no_stranger_sees_what_is_held(mallory, cast):
    assert mallory.get(FRAUD + "storage/").status_code == 404


# Proof of the counters


def recount(*options: str) -> tuple[Any, dict]:
    out = StringIO()
    code: Any = 0
    try:
        call_command("recount_storage", "--json", *options, stdout=out)
    except SystemExit as end:
        code = end.code
    return code, json.loads(out.getvalue())


def test_right_counters_are_proved_right(alice, cast):
    put(alice, PACKAGES + "a/1/x")
    code, report = recount()
    assert (code, report["status"], report["wrong"]) == (0, "ok", 0)
    assert report["projects"] >= 3


def test_wrong_counters_are_found_and_put_right_when_asked(alice, cast):
    put(alice, PACKAGES + "a/1/x", b"12345")
    churn = PACKAGES.replace("fraud", "churn")
    put(alice, churn + "a/1/x", b"123")
    StorageUsage._base_manager.filter(project=cast.fraud).update(size_bytes=99)
    StorageUsage._base_manager.filter(project=cast.churn).delete()
    for options in ((), ("--dry-run", "--fix")):
        code, report = recount(*options)
        assert (code, report["wrong"], report["fixed"]) == (1, 2, 0)
    assert [finding["object"] for finding in report["findings"]] == [
        "acme/churn",
        "acme/fraud",
    ]
    assert held(cast.fraud) == (99, 1)
    assert recount("--fix", "--organization", "umbrella")[1]["fixed"] == 0
    assert recount("--fix")[1]["fixed"] == 2
    assert (held(cast.fraud), held(cast.churn)) == ((5, 1), (3, 1))
    assert recount()[0] == 0


def test_counters_keep_organizations_apart(alice, mallory, cast):
    put(alice, PACKAGES + "a/1/x", b"12345")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM storage_usage WHERE organization_id = %s",
            [cast.umbrella.pk],
        )
        assert cursor.fetchone()[0] == 0

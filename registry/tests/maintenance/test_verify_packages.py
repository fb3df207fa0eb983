"""verify_packages reads bytes again and says which are not what they were."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from mlops.cli import UsageError
from registry.models import Blob
from registry.services import verification
from registry.tests.factories import PackageFileFactory
from registry.tests.maintenance.commands import path_of, run, store


@pytest.fixture
def blobs(cast) -> list[Blob]:
    return [store(cast.acme.pk, f"content {number}".encode()) for number in range(10)]


def damage(blob: Blob, how: str) -> None:
    path = path_of(blob.organization_id, blob.sha256)
    if how == "cannot be read":
        path.unlink()
    elif how == "has another digest":
        path.write_bytes(b"x" * blob.size_bytes)
    else:
        path.write_bytes(b"short")


def test_whole_blobs_are_fine(blobs):
    outcome = run("verify_packages")
    assert (outcome.code, outcome.told["status"]) == (0, "ok")
    assert outcome.told["checked"] == 10
    assert outcome.told["bytes"] == sum(blob.size_bytes for blob in blobs)
    assert outcome.told["damaged"] == []


@pytest.mark.parametrize("how", ["cannot be read", "has another digest", "has 5 of"])
def test_a_damaged_blob_is_critical_and_its_files_are_named(blobs, cast, how):
    file = PackageFileFactory(
        package__project=cast.fraud, path="a/b.bin", blob=blobs[3]
    )
    damage(blobs[3], how)
    outcome = run("verify_packages")
    assert (outcome.code, outcome.told["status"]) == (2, "critical")
    (damaged,) = outcome.told["damaged"]
    assert damaged["organization"] == "acme"
    assert damaged["sha256"] == blobs[3].sha256
    assert damaged["reason"].startswith(how)
    assert damaged["files"] == [
        {
            "project": "fraud",
            "package": file.package.name,
            "version": "1.0",
            "path": "a/b.bin",
        }
    ]


def test_a_sample_reads_so_many_and_no_more(blobs, monkeypatch):
    for place in ("0" * 64, "8" * 64, "f" * 64):
        monkeypatch.setattr(verification, "random_place", lambda place=place: place)
        assert run("verify_packages", "--sample", "4").told["checked"] == 4
    assert run("verify_packages", "--sample", "40").told["checked"] == 10


def test_samples_come_by_every_blob(blobs, monkeypatch):
    """Wherever one begins, so many of the next digests are read, round the end."""
    damage(blobs[0], "has another digest")
    found = 0
    for blob in blobs:
        monkeypatch.setattr(verification, "random_place", lambda blob=blob: blob.sha256)
        found += len(run("verify_packages", "--sample", "1").told["damaged"])
    assert found == 1


def test_a_project_is_read_by_its_files(blobs, cast):
    PackageFileFactory(package__project=cast.fraud, blob=blobs[0])
    PackageFileFactory(package__project=cast.churn, blob=blobs[1])
    words = ("--organization", "acme", "--project", "fraud")
    assert run("verify_packages", *words).told["checked"] == 1


def test_another_tenant_s_blobs_are_read_apart(blobs, cast):
    theirs = store(cast.umbrella.pk, b"content 0")
    damage(theirs, "has another digest")
    assert run("verify_packages", "--organization", "acme").code == 0
    assert run("verify_packages", "--organization", "umbrella").code == 2


def test_it_goes_on_where_it_stopped(blobs, monkeypatch):
    monkeypatch.setattr(verification, "BATCH", 3)
    ordered = sorted(blob.sha256 for blob in blobs)
    words = ("--organization", "acme", "--after", ordered[5])
    assert run("verify_packages", *words).told["checked"] == 4
    assert run("verify_packages").told["checked"] == 10


@pytest.mark.parametrize(
    "words,said",
    [
        (("--sample", "0"), "--sample=0"),
        (("--after", "ab"), "--organization"),
        (("--after", "xyz", "--organization", "acme"), "no digest"),
    ],
)
def test_a_wrong_option_says_which(cast, words, said):
    with pytest.raises(UsageError, match=said):
        call_command("verify_packages", *words)

"""Case G12: an archive that is uploaded is bytes like any, and is never unpacked."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.storage import storages

from registry.models import PackageFile
from registry.tests.factories import RunFactory

MEGABYTE = 1024**2


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return whole.getvalue()


def climbing_zip() -> bytes:
    return zipped(("../../evil.txt", b"x"), ("/etc/evil", b"x"), ("..\\evil", b"x"))


def linking_zip() -> bytes:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped((link, b"/etc/passwd"))


def zip_bomb() -> bytes:
    """As 42.zip: archives in archives, 16 GB in the end."""
    inner = zipped(("zeros", bytes(MEGABYTE)))
    for _ in range(3):
        inner = zipped(*((f"{number}.zip", inner) for number in range(25)))
    return inner


def hostile_tar() -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for name, kind, target in (
            ("../../evil.txt", tarfile.REGTYPE, ""),
            ("link", tarfile.SYMTYPE, "/etc"),
            ("link/passwd", tarfile.REGTYPE, ""),
            ("hard", tarfile.LNKTYPE, "/etc/passwd"),
            ("device", tarfile.CHRTYPE, ""),
            ("pipe", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return whole.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "climbing.zip": climbing_zip,
    "linking.zip": linking_zip,
    "bomb.zip": zip_bomb,
    "model.tar.gz": hostile_tar,
    "MLmodel": climbing_zip,
    "model.mar": zip_bomb,
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_stays_one_file(alice_in_fraud, cast, settings, tmp_path, name):
    blobs = {
        "BACKEND": "registry.storage.BlobFolder",
        "OPTIONS": {"location": str(tmp_path / "deep" / "blobs")},
    }
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    content = ARCHIVES[name]()
    run = RunFactory(experiment__project=cast.fraud)
    root = f"{run.experiment.iid}/{run.pk.hex}/artifacts"
    address = f"/api/2.0/mlflow-artifacts/artifacts/{root}/{name}"
    stored = alice_in_fraud.put(address, content, "application/zip")
    assert stored.status_code == 200

    found = [path for path in tmp_path.rglob("*") if not path.is_dir()]
    (blob,) = found
    assert Path(storages["blobs"].location) in blob.parents
    assert blob.is_file()
    assert not blob.is_symlink()
    assert blob.read_bytes() == content
    assert [row.path for row in PackageFile._base_manager.all()] == [name]

    listed = alice_in_fraud.get(f"/api/2.0/mlflow/artifacts/list?run_id={run.pk.hex}")
    assert [each["path"] for each in listed.json()["files"]] == [name]
    inside = alice_in_fraud.get(
        f"/api/2.0/mlflow/artifacts/list?run_id={run.pk.hex}&path={name}"
    )
    assert "evil" not in inside.content.decode()
    answer = alice_in_fraud.get(address)
    assert b"".join(answer) == content
    assert answer["Content-Disposition"].startswith("attachment")

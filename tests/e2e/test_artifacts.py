"""Artifacts by the unmodified client: a tree there and back, on both stores."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

from tests.bucket import Bucket, running_bucket
from tests.e2e.running import Platform, Tenant, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

FOLDERS = 50
MB = 1024**2


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(200, id="200 files"),
        pytest.param(1000, id="1000 files", marks=pytest.mark.soak),
    ],
)
def tree(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many files in fifty folders, three deep, with names that need care."""
    root, source = tmp_path_factory.mktemp("tree"), random.Random(4)
    names = ["model.pkl", "a b.txt", "naïve.csv", "100%.log", "x+1.bin", "empty"]
    for number in range(request.param):
        folder = root / f"part {number % 5}" / f"fold-{number % FOLDERS}" / "ä"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{number:04}-{names[number % len(names)]}"
        size = 0 if name.endswith("empty") else source.randrange(1, 20_000)
        (folder / name).write_bytes(source.randbytes(size))
    return root


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def there_and_back(tenant: Tenant, mount: str, tree: Path, tmp_path: Path) -> None:
    with tenant.client(mount) as client:
        run_id = client.create_run("0").info.run_id
        client.log_artifacts(run_id, str(tree), "tree")
        listed = client.list_artifacts(run_id, "tree")
        assert [file.path for file in listed] == [f"tree/part {n}" for n in range(5)]
        got = client.download_artifacts(run_id, "tree", str(tmp_path))
    assert digests(Path(got)) == digests(tree)


def test_a_tree_of_files_comes_back_the_same(
    tenant: Tenant, tree: Path, tmp_path: Path
) -> None:
    assert len(digests(tree)) in (200, 1000)
    assert len({path.parent for path in tree.rglob("*") if path.is_file()}) == FOLDERS
    there_and_back(tenant, "token", tree, tmp_path)


# In parts


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the client send in parts what it would send in one piece."""
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(6 * MB))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 * MB))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "weights of it.bin"
    path.write_bytes(random.Random(5).randbytes(23 * MB + 1))
    return path


def in_parts(
    platform: Platform, tenant: Tenant, mount: str, large: Path, tmp_path: Path
) -> None:
    before = forgotten(platform)
    with tenant.client(mount) as client:
        run_id = client.create_run("0").info.run_id
        client.log_artifact(run_id, str(large), "model/deep")
        path = f"model/deep/{large.name}"
        (file,) = client.list_artifacts(run_id, "model/deep")
        assert (file.path, file.file_size) == (path, large.stat().st_size)
        got = client.download_artifacts(run_id, path, str(tmp_path))
    assert Path(got).read_bytes() == large.read_bytes()
    assert forgotten(platform) == before + 1, "it was sent in one piece"


def forgotten(platform: Platform) -> int:
    """How many uploads in parts there have been."""
    asked = ("sweep_uploads", "--older-than-hours", "0", "--dry-run")
    count: int = platform.manage(*asked)["uploads"]
    return count


@pytest.mark.parametrize("mount", ["token", "path"])
def test_a_large_file_is_sent_in_parts(
    platform: Platform,
    tenant: Tenant,
    large: Path,
    tmp_path: Path,
    small_parts: None,
    mount: str,
) -> None:
    in_parts(platform, tenant, mount, large, tmp_path)


def test_a_failed_part_leaves_nothing(
    platform: Platform,
    tenant: Tenant,
    large: Path,
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client gives the upload up by itself when a part does not go through."""

    def refuse(*args: Any, **more: Any) -> None:
        raise OSError("the network is gone")

    monkeypatch.setattr(HttpArtifactRepository, "_upload_part", staticmethod(refuse))
    before = forgotten(platform)
    with tenant.client() as client:
        run_id = client.create_run("0").info.run_id
        with pytest.raises(MlflowException):
            client.log_artifact(run_id, str(large))
        assert client.list_artifacts(run_id) == []
    assert forgotten(platform) == before


# On S3: everything again, on a platform of its own


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def platform_on_s3(bucket: Bucket) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in bucket.environment.items():
            environment.setenv(name, value)
        with running() as platform:
            yield platform


@pytest.fixture(scope="module")
def tenant_on_s3(platform_on_s3: Platform) -> Tenant:
    return platform_on_s3.make_tenant()


@pytest.mark.soak
def test_a_tree_of_files_comes_back_the_same_from_s3(
    bucket: Bucket,
    platform_on_s3: Platform,
    tenant_on_s3: Tenant,
    tree: Path,
    tmp_path: Path,
) -> None:
    there_and_back(tenant_on_s3, "token", tree, tmp_path)
    assert bucket.keys()
    assert not (platform_on_s3.var / "blobs").exists()


@pytest.mark.soak
def test_a_large_file_is_sent_straight_to_s3(
    platform_on_s3: Platform,
    tenant_on_s3: Tenant,
    large: Path,
    tmp_path: Path,
    small_parts: None,
) -> None:
    in_parts(platform_on_s3, tenant_on_s3, "path", large, tmp_path)

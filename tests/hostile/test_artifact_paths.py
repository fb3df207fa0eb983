"""Cases A1 to A17 of paths: refused before anything is read or written.

Each text is what stands on the wire, escaped as its sender would escape it, and is
sent through every address that takes a path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.storage import storages

from registry.models import Blob, MultipartUpload, Package, PackageFile, Run
from registry.storage import blob_name
from registry.tests.factories import ExperimentFactory, RunFactory
from tests.mounts import Mount, by_two_mounts_or_all, mounts_for

OCTETS = "application/octet-stream"
REST = "/api/v1/organizations/acme/projects/fraud/packages"
CANARY = b"nobody outside of the store is touched"


def artifact_mounts() -> list[Mount]:
    """Artifacts have one version of addresses, for clients and for pages."""
    found = []
    for api in ("api/2.0", "ajax-api/2.0"):
        below = f"/mlflow/acme/fraud/{api}"
        workspace = {"X-MLFLOW-WORKSPACE": "fraud"}
        found += [
            Mount(f"token {api}", f"/{api}"),
            Mount(f"path {api}", below),
            Mount(f"workspace {api}", f"/{api}", workspace),
        ]
    return found


every_mount: Any = pytest.mark.parametrize("mount", artifact_mounts(), ids=str)


# The texts, by the letter of their case


DEEP = "/".join(["a"] * 200)
LONG = "/".join(["a" * 40] * 100)
HOSTILE: dict[str, list[str]] = {
    "A1": ["../../etc/passwd", "../x", "a/../../x", "a/b/../../../x", "a/.."],
    "A2": ["%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%2E%2E/x", ".%2e/x", "a%2f..%2fb"],
    "A3": [
        "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
        "%25252e%25252e%25252fetc",
        "a/%252e%252e/b",
        "%252fetc%252fpasswd",
    ],
    "A4": [
        "..%5c..%5cwindows%5cwin.ini",
        "a%5cb",
        "C:%5cx",
        "C:/x",
        "c:x",
        "%5c%5chost%5cshare",
        "a%255cb",
    ],
    "A5": [
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "file:x",
        "/file://../x",
        "s3://bucket/key",
        "http://127.0.0.1/x",
    ],
    "A6": ["a/./b", "a//b", "a/../b", ".", "%2e", "./.", ".//", "..", "a/", "%20"],
    "A7": [
        "a%00.png",
        "a%0d%0aX-Evil:%20y",
        "a%0a",
        "a%7f",
        "a%1b[31m",
        "a%c2%85b",
        "a%e2%80%a8b",
        "a%2500.png",
    ],
    "A8": ["a;..%2f..%2fetc", "a%23/../x", "a%3f/../x", "a;/../../etc"],
    "A9": [
        "%c0%ae%c0%ae/x",
        "%c0%af",
        "%e0%80%ae/x",
        quote("．．／x"),
        quote("a/．．/b"),
        quote("‥/x"),
        quote("․․/x"),
        quote("a＼b"),
        quote("／etc／passwd"),
    ],
    "A10": ["x" * 1025, quote("é" * 513), DEEP, LONG],
}
TEXTS = [(letter, text) for letter, texts in HOSTILE.items() for text in texts]


# The world


@pytest.fixture
def run(cast) -> Run:
    return RunFactory(experiment__project=cast.fraud)


@pytest.fixture(autouse=True)
def outside(store, tmp_path) -> Iterator[Path]:
    """Beside the store, a file that must be the same afterwards."""
    canary = tmp_path / "canary"
    canary.write_bytes(CANARY)
    before = files_outside(tmp_path)
    yield canary
    assert canary.read_bytes() == CANARY
    assert files_outside(tmp_path) == before


def files_outside(folder: Path) -> set[Path]:
    blobs = folder / "blobs"
    return {
        path
        for path in folder.rglob("*")
        if path != blobs and blobs not in path.parents
    }


def nothing_is_stored() -> bool:
    models = (Package, PackageFile, Blob, MultipartUpload)
    rows = [model for model in models if model._base_manager.exists()]
    root = Path(storages["blobs"].path("any")).parent
    return not rows and not [path for path in root.rglob("*") if path.is_file()]


def client_for(mount: Mount, alice: Any, alice_in_fraud: Any) -> Any:
    return alice_in_fraud if mount.name.startswith("token") else alice


def root_of(run: Run) -> str:
    return f"{run.experiment.iid}/{run.pk.hex}/artifacts"


def sent(client: Any, mount: Mount, method: str, endpoint: str, **more: Any) -> Any:
    headers = {**mount.headers, **more.pop("headers", {})}
    return client.generic(method, mount.url(endpoint), headers=headers, **more)


Asked = tuple[str, str, dict[str, Any]]


def ways_of(run: Run, text: str) -> Iterator[Asked]:
    """Yield each request that would reach a file of the run by such a text."""
    root, at_run = root_of(run), f"run_id={run.pk.hex}"
    octets: dict[str, Any] = {"data": b"evil", "content_type": OCTETS}
    json: dict[str, Any] = {"content_type": "application/json"}
    file = f"mlflow-artifacts/artifacts/{root}/{text}"
    yield "GET", file, {}
    yield "HEAD", file, {}
    yield "PUT", file, octets
    yield "DELETE", file, {}
    yield "GET", f"mlflow-artifacts/presigned/{root}/{text}", {}
    begin = {**json, "data": b'{"path": "x", "num_parts": 1}'}
    yield "POST", f"mlflow-artifacts/mpu/create/{root}/{text}/y", begin
    for verb in ("complete", "abort"):
        end = {**json, "data": b'{"path": "x", "upload_id": "0", "parts": []}'}
        yield "POST", f"mlflow-artifacts/mpu/{verb}/{root}/{text}/y", end
    in_query = text.replace("+", "%2b").replace("#", "%23").replace(";", "%3b")
    if text.endswith("/"):
        return  # of a folder that is listed the last slash does not count
    yield "GET", f"mlflow-artifacts/artifacts?path={root}/{in_query}", {}
    yield "GET", f"mlflow/artifacts/list?{at_run}&path={in_query}", {}


def is_refused(answer: Any) -> bool:
    """INVALID_PARAMETER_VALUE, in MLflow's form, and no header of the caller's."""
    if answer.has_header("X-Evil"):
        return False
    if not answer.content:  # of a HEAD
        return answer.status_code == 400
    code = answer.json()["error_code"]
    return (answer.status_code, code) == (400, "INVALID_PARAMETER_VALUE")


# A1 to A10


@by_two_mounts_or_all
@pytest.mark.parametrize("letter", HOSTILE)
def test_a_hostile_path_is_refused_wherever_one_is_taken(
    alice, alice_in_fraud, run, letter, every
):
    let_in = []
    for number, text in enumerate(HOSTILE[letter]):
        for mount in mounts_for(number, artifact_mounts(), every=every):
            client = client_for(mount, alice, alice_in_fraud)
            for method, endpoint, more in ways_of(run, text):
                answer = sent(client, mount, method, endpoint, **more)
                if not is_refused(answer):
                    let_in.append(f"{mount} {method} {endpoint}: {answer.status_code}")
    assert let_in == []
    assert nothing_is_stored()


@pytest.mark.parametrize("below", ["", "/mlflow/acme/fraud"])
@pytest.mark.parametrize("letter", HOSTILE)
def test_a_hostile_path_is_refused_in_the_addresses_of_the_web_ui(
    alice_in_fraud, run, below, letter
):
    for text in HOSTILE[letter]:
        text = text.replace("#", "%23").replace(";", "%3b")
        query = f"run_uuid={run.pk.hex}&path={text}"
        answers = [
            alice_in_fraud.get(f"{below}/get-artifact?{query}"),
            alice_in_fraud.generic(
                "POST",
                f"{below}/ajax-api/2.0/mlflow/upload-artifact?{query}",
                b"evil",
                OCTETS,
            ),
        ]
        assert all(is_refused(answer) for answer in answers), text
    assert nothing_is_stored()


@pytest.mark.parametrize("letter", HOSTILE)
def test_a_hostile_path_is_refused_by_rest(alice, cast, letter):
    """A package's file; what is no path at all leads to no file."""
    for text in HOSTILE[letter]:
        url = f"{REST}/reports/1.0/{text}"
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            body = b"evil" if method == "PUT" else b""
            answer = alice.generic(method, url, body, OCTETS)
            assert answer.status_code in (400, 404), (method, text)
            assert method != "PUT" or answer.status_code == 400, text
    assert nothing_is_stored()


# A11 to A13: roots


@every_mount
def test_nothing_outside_is_deleted(alice, alice_in_fraud, run, mount, outside):
    client = client_for(mount, alice, alice_in_fraud)
    up = "%252E%252E%252F" * 8
    for text in (
        f"{up}{outside}",
        f"{root_of(run)}/{up}{outside}",
        f"..{outside}",
        quote(str(outside)),
        "%252E%252E%252Fx",
    ):
        endpoint = f"mlflow-artifacts/artifacts/{text}"
        assert is_refused(sent(client, mount, "DELETE", endpoint)), text
    assert outside.exists()


@every_mount
def test_no_root_is_deleted_or_written(alice, alice_in_fraud, run, mount):
    client = client_for(mount, alice, alice_in_fraud)
    kept = f"mlflow-artifacts/artifacts/{root_of(run)}/kept"
    body = {"data": b"abc", "content_type": OCTETS}
    assert sent(client, mount, "PUT", kept, **body).status_code == 200
    experiment = str(run.experiment.iid)
    for text in (
        *(".", "./", "%2e", "./.", ".//", "", "*", "%2a"),
        *(experiment, f"{experiment}/", f"{experiment}/*"),
        *(f"{experiment}/{run.pk.hex}", f"{experiment}/{run.pk.hex}/"),
        *(root_of(run), f"{root_of(run)}/", f"{root_of(run)}//"),
        *("workspaces/fraud", f"workspaces/fraud/{root_of(run)}/kept"),
        *(f"{experiment}/models", f"{experiment}/models/m-{run.pk.hex}"),
        f"{experiment}/models/m-{run.pk.hex}/artifacts",
        f"00{experiment}/{run.pk.hex}/artifacts/kept",
    ):
        for method in ("DELETE", "PUT"):
            endpoint = f"mlflow-artifacts/artifacts/{text}"
            answer = sent(client, mount, method, endpoint, **body)
            assert answer.status_code == 400, (method, text)
    assert sent(client, mount, "GET", kept).status_code == 200
    assert PackageFile._base_manager.count() == 1


@every_mount
@pytest.mark.parametrize("query", ["", "?path=", "?path=.", "?path=/", "?path=%2e"])
def test_no_root_is_listed_without_a_run(alice, alice_in_fraud, run, mount, query):
    client = client_for(mount, alice, alice_in_fraud)
    endpoint = f"mlflow-artifacts/artifacts{query}"
    assert is_refused(sent(client, mount, "GET", endpoint))


# A14: files and folders


@every_mount
@pytest.mark.parametrize("first,second", [("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")])
def test_a_path_is_either_a_file_or_a_folder(
    alice, alice_in_fraud, run, mount, first, second
):
    client = client_for(mount, alice, alice_in_fraud)
    body = {"data": b"abc", "content_type": OCTETS}
    at = f"mlflow-artifacts/artifacts/{root_of(run)}"
    assert sent(client, mount, "PUT", f"{at}/{first}", **body).status_code == 200
    assert is_refused(sent(client, mount, "PUT", f"{at}/{second}", **body))
    assert [file.path for file in PackageFile._base_manager.all()] == [first]


# A15: links


@every_mount
@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_planted_link_leads_nowhere(
    alice, alice_in_fraud, run, mount, outside, where
):
    client = client_for(mount, alice, alice_in_fraud)
    at = f"mlflow-artifacts/artifacts/{root_of(run)}/a"
    body = {"data": CANARY, "content_type": OCTETS}
    assert sent(client, mount, "PUT", at, **body).status_code == 200
    digest = PackageFile._base_manager.get().sha256
    name = blob_name(run.organization_id, digest)
    blob = Path(storages["blobs"].location) / name
    if where == "file":
        blob.unlink()
        blob.symlink_to(outside)
    else:
        moved = blob.parent.with_name("moved")
        os.rename(blob.parent, moved)
        blob.parent.symlink_to(moved)
    answer = sent(client, mount, "GET", at)
    assert answer.status_code in (200, 404)
    if answer.status_code == 200:  # a stream finds out when it begins
        with pytest.raises(Exception, match="missing"):
            b"".join(answer)


# A16 and A17: somebody else's


def in_bytes(answer: Any, names: dict[str, str]) -> str:
    text = f"{answer.status_code} {answer.content.decode()}"
    for name, placeholder in names.items():
        text = text.replace(name, placeholder)
    return text


@every_mount
def test_a_run_elsewhere_is_not_found_in_the_same_bytes(
    alice, alice_in_fraud, cast, run, mount
):
    """Of another organization, of a sibling project, of another experiment."""
    client = client_for(mount, alice, alice_in_fraud)
    own = run.experiment.iid
    beside = ExperimentFactory(project=cast.fraud)
    places = [
        (own, RunFactory(experiment__project=cast.umbrella_fraud)),
        (own, RunFactory(experiment__project=cast.churn)),
        (own, RunFactory(experiment=beside)),
        (beside.iid, run),
    ]
    for number, other in places:
        for method, more in (
            ("GET", {}),
            ("PUT", {"data": b"abc", "content_type": OCTETS}),
            ("DELETE", {}),
        ):
            said = set()
            for run_id in (other.pk.hex, "0" * 32):
                endpoint = f"mlflow-artifacts/artifacts/{number}/{run_id}/artifacts/x"
                answer = sent(client, mount, method, endpoint, **more)
                said.add(in_bytes(answer, {run_id: "<run>"}))
            (text,) = said
            assert text.startswith("404 "), (method, text)
            assert "RESOURCE_DOES_NOT_EXIST" in text
    assert nothing_is_stored()

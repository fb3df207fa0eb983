from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
import time
import zipfile
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from conftest import client_of
from registry.models import Blob, Package, PackageFile, Run
from registry.storage import CHUNK_BYTES, BlobStream, DamagedBlob, blob_name
from registry.tests.factories import (
    ExperimentFactory,
    PackageFileFactory,
    RunFactory,
    candidate_package,
)
from registry.tests.test_packages import committed  # noqa: F401 - a fixture
from registry.tests.test_storage import HOSTILE_PATHS, ODD_PATHS
from tenants.models import ApiToken
from tenants.tests.factories import (
    MembershipFactory,
    ProjectMemberFactory,
    UserFactory,
    make_api_token,
)

AT_ROOT = ["/api/2.0", "/ajax-api/2.0"]
BELOW_PROJECT = [f"/mlflow/acme/fraud{api}" for api in AT_ROOT]
MOUNTS = AT_ROOT + BELOW_PROJECT
# By a savepoint, since a test is a transaction: none of these in a real request.
SAVEPOINT = 2


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def run(cast):
    return RunFactory(experiment__project=cast.fraud)


def escaped(text: str) -> str:
    return quote(text.encode(errors="surrogatepass"))


def root_of(run: Run) -> str:
    return f"{run.experiment.iid}/{run.pk.hex}/artifacts"


def url_of(run: Run, key: str, mount: str = "/api/2.0") -> str:
    return f"{mount}/mlflow-artifacts/artifacts/{root_of(run)}/{escaped(key)}"


def put(client, run: Run, key: str, content: bytes = b"abc", **more):
    return client.put(url_of(run, key), content, "application/octet-stream", **more)


def listed(client, run: Run, path: str | None = None, mount: str = "/api/2.0") -> dict:
    query = f"run_id={run.pk.hex}" + (f"&path={escaped(path)}" if path else "")
    answer = client.get(f"{mount}/mlflow/artifacts/list?{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def files_in(store) -> list[Path]:
    return [path for path in Path(store.location).rglob("*") if path.is_file()]


def status_of(answer) -> int:
    """Read a stream to its end, which is how the test client lets go of it."""
    if answer.streaming:
        b"".join(answer)
    return answer.status_code


def nothing_was_stored(store) -> bool:
    tables = (Package, PackageFile, Blob)
    rows = sum(table._base_manager.count() for table in tables)
    return rows == 0 and files_in(store) == []


# Upload, download, list, delete: what mlflow's client does


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_file_makes_the_round_trip(alice_in_fraud, run, store, mount):
    url, content = url_of(run, "model/data.bin", mount), os.urandom(3 * CHUNK_BYTES + 1)
    answer = alice_in_fraud.put(url, content, "application/octet-stream")
    assert (answer.status_code, answer.content) == (200, b"")
    answer = alice_in_fraud.get(url)
    assert answer.streaming
    assert b"".join(answer) == content
    assert answer["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert listed(alice_in_fraud, run, "model", mount)["files"] == [
        {"path": "model/data.bin", "is_dir": False, "file_size": len(content)}
    ]
    answer = alice_in_fraud.delete(url)
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert alice_in_fraud.get(url).status_code == 404


def test_the_workspace_header_leads_to_the_project(alice, run):
    workspace = {"headers": {"x-mlflow-workspace": "fraud"}}
    assert put(alice, run, "a", **workspace).status_code == 200
    assert alice.get(url_of(run, "a"), **workspace).status_code == 200
    assert put(alice, run, "a").status_code == 400  # several projects, none named
    elsewhere = {"headers": {"x-mlflow-workspace": "churn"}}
    assert alice.get(url_of(run, "a"), **elsewhere).status_code == 404


@pytest.mark.parametrize("path", ODD_PATHS)
def test_an_odd_path_is_kept_letter_for_letter(alice_in_fraud, run, path):
    assert put(alice_in_fraud, run, path, path.encode()).status_code == 200
    answer = alice_in_fraud.get(url_of(run, path))
    assert b"".join(answer) == path.encode()
    assert "\r" not in answer["Content-Disposition"]
    assert answer["Content-Disposition"].startswith("attachment; filename")
    folder, _, name = path.rpartition("/")
    files = listed(alice_in_fraud, run, folder)["files"]
    assert [file["path"] for file in files] == [path]
    query = escaped(f"{root_of(run)}/{folder}" if folder else root_of(run))
    answer = alice_in_fraud.get(f"/api/2.0/mlflow-artifacts/artifacts?path={query}")
    assert [file["path"] for file in answer.json()["files"]] == [name]
    query = f"run_id={run.pk.hex}&path={escaped(path)}"
    assert b"".join(alice_in_fraud.get(f"/get-artifact?{query}")) == path.encode()


def test_an_empty_file_is_a_file(alice_in_fraud, run):
    assert put(alice_in_fraud, run, "empty", b"").status_code == 200
    answer = alice_in_fraud.get(url_of(run, "empty"))
    assert (b"".join(answer), answer["Content-Length"]) == (b"", "0")
    assert listed(alice_in_fraud, run)["files"] == [
        {"path": "empty", "is_dir": False, "file_size": 0}
    ]


def test_a_file_is_replaced(alice_in_fraud, run):
    put(alice_in_fraud, run, "a", b"old")
    put(alice_in_fraud, run, "a", b"newer")
    assert b"".join(alice_in_fraud.get(url_of(run, "a"))) == b"newer"
    assert len(listed(alice_in_fraud, run)["files"]) == 1


@pytest.mark.parametrize("first,second", [("a", "a/b"), ("a/b", "a")])
def test_a_path_that_is_both_file_and_folder_is_refused(
    alice_in_fraud, run, first, second
):
    put(alice_in_fraud, run, first)
    answer = put(alice_in_fraud, run, second)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert [file.path for file in PackageFile._base_manager.all()] == [first]


# Lists


def test_a_run_s_list_has_whole_paths_in_order(alice_in_fraud, run):
    for path in ("model/MLmodel", "model/data/x", "b.txt", "a", "B", "model.txt"):
        put(alice_in_fraud, run, path)
    root = f"mlflow-artifacts:/{run.experiment.iid}/{run.pk.hex}/artifacts"
    assert listed(alice_in_fraud, run) == {
        "root_uri": root,
        "files": [
            {"path": "B", "is_dir": False, "file_size": 3},
            {"path": "a", "is_dir": False, "file_size": 3},
            {"path": "b.txt", "is_dir": False, "file_size": 3},
            {"path": "model", "is_dir": True},
            {"path": "model.txt", "is_dir": False, "file_size": 3},
        ],
    }
    inner = {
        "root_uri": root,
        "files": [
            {"path": "model/MLmodel", "is_dir": False, "file_size": 3},
            {"path": "model/data", "is_dir": True},
        ],
    }
    assert listed(alice_in_fraud, run, "model") == inner
    assert listed(alice_in_fraud, run, "model/") == inner
    for path in ("a", "nope", "model/MLmodel"):
        assert listed(alice_in_fraud, run, path) == {"root_uri": root}


def test_the_old_name_of_a_run_s_id_is_understood(alice_in_fraud, run):
    put(alice_in_fraud, run, "a")
    query = f"run_uuid={run.pk.hex}&path=a"
    assert b"".join(alice_in_fraud.get(f"/get-artifact?{query}")) == b"abc"
    answer = alice_in_fraud.get(f"/api/2.0/mlflow/artifacts/list?{query[:-7]}")
    assert len(answer.json()["files"]) == 1


def test_a_proxied_list_has_last_segments(alice_in_fraud, run):
    for path in ("model/MLmodel", "model/data/x", "a"):
        put(alice_in_fraud, run, path)
    url = f"/api/2.0/mlflow-artifacts/artifacts?path={root_of(run)}"
    assert alice_in_fraud.get(url).json() == {
        "files": [
            {"path": "a", "is_dir": False, "file_size": 3},
            {"path": "model", "is_dir": True},
        ]
    }
    assert alice_in_fraud.get(f"{url}/").json() == alice_in_fraud.get(url).json()
    assert alice_in_fraud.get(f"{url}/model").json() == {
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": 3},
            {"path": "data", "is_dir": True},
        ]
    }
    for path in ("a", "nope", "model/MLmodel"):
        assert alice_in_fraud.get(f"{url}/{path}").json() == {}


@pytest.mark.parametrize("count", [1, 20, 200, 1000])
def test_a_list_takes_one_statement_whatever_it_holds(alice_in_fraud, run, count):
    package = candidate_package(run)
    file = PackageFileFactory(package=package, path="0")
    rows = [
        PackageFile(
            organization_id=run.organization_id,
            package=package,
            path=str(number),
            size_bytes=3,
            sha256=file.sha256,
            blob=file.blob,
        )
        for number in range(1, count)
    ]
    PackageFile._base_manager.bulk_create(rows)
    for query in (
        f"mlflow/artifacts/list?run_id={run.pk.hex}",
        f"mlflow-artifacts/artifacts?path={root_of(run)}",
    ):
        answer = alice_in_fraud.get(f"/api/2.0/{query}")
        assert len(answer.json()["files"]) == count
        assert answer["X-Query-Count"] == "1"


def test_a_limit_of_ones_own_costs_an_upload_its_look_ahead(alice_in_fraud, cast, run):
    put(alice_in_fraud, run, "a")
    free = int(put(alice_in_fraud, run, "b")["X-Query-Count"])
    for owner in (cast.fraud, cast.acme):
        rows = type(owner)._base_manager.filter(pk=owner.pk)
        rows.update(storage_limit_files=100)
        limited = int(put(alice_in_fraud, run, f"of {owner.slug}")["X-Query-Count"])
        assert limited > free
        rows.update(storage_limit_files=2)
        assert put(alice_in_fraud, run, "one more").status_code == 409
        rows.update(storage_limit_files=None)


def test_transfers_take_few_statements(alice_in_fraud, run):
    answer = put(alice_in_fraud, run, "a")
    # Admission, run; then again, and look, make, look, attach in a savepoint.
    assert answer["X-Query-Count"] == str(2 + 6 + 3 * SAVEPOINT)
    answer = put(alice_in_fraud, run, "b")
    assert answer["X-Query-Count"] == str(2 + 4 + 3 * SAVEPOINT)
    answer = alice_in_fraud.get(url_of(run, "a"))
    assert answer["X-Query-Count"] == str(3 + SAVEPOINT)  # admission; run; file
    answer = alice_in_fraud.delete(url_of(run, "a"))
    # Admission; run; then in a savepoint: look, is there a rule against it, is it in
    # Production, delete.
    assert answer["X-Query-Count"] == str(6 + 2 * SAVEPOINT)


# What is not found is still told to the trail.
WRITTEN = """
SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables
WHERE relname NOT LIKE 'audit_logs%'
"""


def test_reading_never_writes(alice_in_fraud, run, store):
    with connection.cursor() as cursor:
        cursor.execute(WRITTEN)
        before = cursor.fetchone()
    assert alice_in_fraud.get(url_of(run, "a")).status_code == 404
    assert "files" not in listed(alice_in_fraud, run)
    query = f"run_id={run.pk.hex}&path=a"
    assert alice_in_fraud.get(f"/get-artifact?{query}").status_code == 404
    with connection.cursor() as cursor:
        cursor.execute(WRITTEN)
        assert cursor.fetchone() == before
    assert nothing_was_stored(store)


# Delete


def test_deleting_is_idempotent_and_takes_folders(alice_in_fraud, run):
    for path in ("a/b", "a/c/d", "ab"):
        put(alice_in_fraud, run, path)
    for key in ("a", "a", "nope", "nope/deeper"):
        answer = alice_in_fraud.delete(url_of(run, key))
        assert (answer.status_code, answer.json()) == (200, {})
    assert [file["path"] for file in listed(alice_in_fraud, run)["files"]] == ["ab"]


@pytest.mark.parametrize("mount", MOUNTS)
def test_no_root_can_be_named(alice_in_fraud, cast, run, mount):
    put(alice_in_fraud, run, "a")
    experiment = run.experiment.iid
    for path in (
        "",
        ".",
        "%2e",
        "/",
        "..",
        "%2e%2e",
        "0",
        f"{experiment}",
        f"{experiment}/",
        f"{experiment}/{run.pk.hex}",
        f"{experiment}/{run.pk.hex}/",
        f"{experiment}/{run.pk.hex}/artifacts",
        f"{experiment}/{run.pk.hex}/artifacts/",
        f"{experiment}/{run.pk.hex}/artifacts/.",
        f"{experiment}/{run.pk.hex}/artifacts//",
        f"{experiment}/{run.pk.hex}/artifacts/%2e",
        f"{experiment}/{run.pk.hex}/artifact/a",
        f"{experiment}/{run.pk.hex}/../{run.pk.hex}/artifacts/a",
        f"{experiment}/../{experiment}/{run.pk.hex}/artifacts/a",
        f"/{experiment}/{run.pk.hex}/artifacts/a",
        f"0{experiment}/{run.pk.hex}/artifacts/a",
        f"+{experiment}/{run.pk.hex}/artifacts/a",
        f"{experiment}/models",
        f"{experiment}/models/m-{run.pk.hex}",
        f"{experiment}/models/{run.pk.hex}/artifacts/a",
        f"{experiment}/models/m-{run.pk.hex}/artifact/a",
        f"{experiment}/models/m-{run.pk.hex}/../m-{run.pk.hex}/artifacts/a",
        "workspaces/fraud",
        "workspaces/fraud/0",
        str(cast.acme.pk),
    ):
        url = f"{mount}/mlflow-artifacts/artifacts/{path}"
        for method in (alice_in_fraud.get, alice_in_fraud.delete, alice_in_fraud.put):
            answer = method(url)
            assert answer.status_code == 400, (method, path, answer.content)
            assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert len(listed(alice_in_fraud, run)["files"]) == 1


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize(
    "path",
    ["", "?path=", "?path=.", "?path=/", "?path=0", "?path=%2e%2e", "?path=workspaces"],
)
def test_no_root_can_be_listed(alice_in_fraud, run, mount, path):
    answer = alice_in_fraud.get(f"{mount}/mlflow-artifacts/artifacts{path}")
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


# Hostile paths, on every mount and every route that takes one

# A folder may be spelled with a slash at its end, and the root as nothing.
NOT_FOR_LISTS = {"", "a/"}


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_hostile_path_is_refused_in_an_address(alice_in_fraud, run, store, mount):
    for path in HOSTILE_PATHS:
        for method in ("get", "head", "put", "delete"):
            answer = getattr(alice_in_fraud, method)(url_of(run, path, mount))
            assert_invalid_path(answer, (method, path))
    assert nothing_was_stored(store)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_hostile_path_is_refused_in_a_query(alice_in_fraud, run, store, mount):
    place = mount.removesuffix("/api/2.0").removesuffix("/ajax-api/2.0")
    for path in HOSTILE_PATHS:
        query = f"run_id={run.pk.hex}&path={escaped(path)}"
        upload = f"{place}/ajax-api/2.0/mlflow/upload-artifact?{query}"
        for answer in (
            alice_in_fraud.get(f"{place}/get-artifact?{query}"),
            alice_in_fraud.post(upload, b"abc", "application/octet-stream"),
        ):
            assert_invalid_path(answer, path)
        if path in NOT_FOR_LISTS:
            continue
        proxied = f"path={root_of(run)}/{escaped(path)}"
        for answer in (
            alice_in_fraud.get(f"{mount}/mlflow/artifacts/list?{query}"),
            alice_in_fraud.get(f"{mount}/mlflow-artifacts/artifacts?{proxied}"),
        ):
            assert_invalid_path(answer, path)
    assert nothing_was_stored(store)


def assert_invalid_path(answer, told) -> None:
    assert answer.status_code == 400, (told, answer.content)
    if answer.request["REQUEST_METHOD"] == "HEAD":
        return
    body = answer.json()
    assert body["error_code"] == "INVALID_PARAMETER_VALUE", told
    assert answer["Content-Type"] == "application/json"
    # These are refused in the words for any parameter.
    if not {"\x00", "\ud800"} & set(str(told)):
        assert body["message"] == "Invalid path", told


# Who may do what


def foreign_runs(cast, run):
    """Experiment and run as a path names them; each must look like an unknown one."""
    own, iid = run.experiment, run.experiment.iid
    sibling = RunFactory(experiment__project=cast.churn)
    theirs = RunFactory(experiment__project=cast.umbrella_fraud)
    same_numbers = RunFactory(
        experiment=ExperimentFactory(project=cast.umbrella_fraud, iid=iid), iid=run.iid
    )
    other = ExperimentFactory(project=cast.fraud)
    for each in (sibling, theirs, same_numbers, run):
        PackageFileFactory(package=candidate_package(each), path="a")
    return {
        "unknown run": (iid, uuid4().hex),
        "sibling project": (sibling.experiment.iid, sibling.pk.hex),
        "other tenant": (theirs.experiment.iid, theirs.pk.hex),
        "other tenant, same numbers": (iid, same_numbers.pk.hex),
        "other tenant's run in our experiment": (iid, theirs.pk.hex),
        "our run in another experiment": (other.iid, run.pk.hex),
        "our run in an unknown experiment": (999_999_999, run.pk.hex),
        "our run in a foreign experiment": (theirs.experiment.iid, run.pk.hex),
        "no run id": (own.iid, "nope"),
        "dashes": (own.iid, str(run.pk)),
        "capitals": (own.iid, run.pk.hex.upper()),
    }


def test_a_foreign_run_is_not_found_in_the_same_bytes(alice_in_fraud, cast, run, store):
    bodies = set()
    for told, (experiment, run_id) in foreign_runs(cast, run).items():
        below = f"{experiment}/{run_id}/artifacts"
        url = f"/api/2.0/mlflow-artifacts/artifacts/{below}/a"
        for answer in (
            alice_in_fraud.get(url),
            alice_in_fraud.put(url, b"abc", "application/octet-stream"),
            alice_in_fraud.delete(url),
            alice_in_fraud.get(f"/api/2.0/mlflow-artifacts/artifacts?path={below}"),
        ):
            assert answer.status_code == 404, told
            bodies.add(answer.content.replace(run_id.encode(), b"ID"))
    assert bodies == {
        b'{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Run with id=ID not found"}'
    }
    assert files_in(store) == []
    assert PackageFile._base_manager.count() == 4


def test_a_foreign_run_is_not_found_by_its_id(alice_in_fraud, cast, run):
    bodies = set()
    for told, (_, run_id) in foreign_runs(cast, run).items():
        if run_id == run.pk.hex:
            continue
        query = f"run_id={run_id}&path=a"
        upload = f"/ajax-api/2.0/mlflow/upload-artifact?{query}"
        for answer in (
            alice_in_fraud.get(f"/get-artifact?{query}"),
            alice_in_fraud.get(f"/api/2.0/mlflow/artifacts/list?{query}"),
            alice_in_fraud.post(upload, b"abc", "application/octet-stream"),
        ):
            assert answer.status_code == 404, told
            bodies.add(answer.content.replace(run_id.encode(), b"ID"))
    assert len(bodies) == 1


def test_mallory_finds_nothing(mallory, alice_in_fraud, run):
    put(alice_in_fraud, run, "a")
    assert (
        mallory.get(url_of(run, "a", "/mlflow/acme/fraud/api/2.0")).status_code == 404
    )
    assert mallory.get(url_of(run, "a", "/mlflow/umbrella/fraud/api/2.0")).json() == {
        "error_code": "RESOURCE_DOES_NOT_EXIST",
        "message": f"Run with id={run.pk.hex} not found",
    }


def test_without_credentials_nobody_lists(stranger, run):
    query = f"run_id={run.pk.hex}"
    answer = stranger.get(f"/api/2.0/mlflow/artifacts/list?{query}")
    assert answer.status_code == 401


METHODS = ["get", "head", "put", "post", "patch", "delete", "options"]


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("method", METHODS)
def test_without_credentials_nobody_hears_more(stranger, run, mount, method):
    place = mount.removesuffix("/api/2.0").removesuffix("/ajax-api/2.0")
    for url in (
        url_of(run, "a", mount),
        url_of(run, "../a", mount),
        f"{mount}/mlflow-artifacts/artifacts/x",
        f"{mount}/mlflow-artifacts/artifacts",
        f"{place}/get-artifact",
        f"{place}/ajax-api/2.0/mlflow/upload-artifact",
    ):
        answer = getattr(stranger, method)(url)
        assert answer.status_code == 401, url
        assert answer["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("method", ["post", "patch", "options"])
def test_another_method_is_not_allowed(alice_in_fraud, run, method):
    answer = getattr(alice_in_fraud, method)(url_of(run, "a"))
    assert answer.status_code == 405
    assert answer["Allow"] == "GET, PUT, DELETE, HEAD"
    listing = f"/api/2.0/mlflow-artifacts/artifacts?path={root_of(run)}"
    assert getattr(alice_in_fraud, method)(listing).status_code == 405


def test_a_method_cannot_be_smuggled_in(bob, run, cast):
    PackageFileFactory(package=candidate_package(run), path="a")
    url = url_of(run, "a", "/mlflow/acme/fraud/api/2.0")
    for headers in ({"x-http-method-override": "DELETE"}, {"x-method-override": "PUT"}):
        status_of(bob.get(f"{url}?_method=DELETE", headers=headers))
    assert PackageFile._base_manager.count() == 1


@pytest.mark.parametrize(
    "role,allowed",
    [
        ("viewer", {"get"}),
        ("editor", {"get", "put"}),
        ("maintainer", {"get", "put", "delete"}),
    ],
)
def test_a_role_may_do_what_it_says(cast, run, role, allowed):
    user = UserFactory()
    MembershipFactory(organization=cast.acme, user=user)
    ProjectMemberFactory(project=cast.fraud, user=user, role=role)
    client = client_of(make_api_token(user, cast.acme, cast.fraud).text)
    put(client_of(make_api_token(cast.alice, cast.acme, cast.fraud).text), run, "a")
    for method in ("get", "put", "delete"):
        answer = getattr(client, method)(url_of(run, "a"))
        assert status_of(answer) == (200 if method in allowed else 403), method
    listing = client.get(f"/api/2.0/mlflow-artifacts/artifacts?path={root_of(run)}")
    assert listing.status_code == 200


@pytest.mark.parametrize(
    "permission,allowed",
    [
        ("artifacts:read", {"get"}),
        ("artifacts:write", {"put"}),
        ("artifacts:delete", {"delete"}),
        ("tracking:write", set()),
        ("*", {"get", "put", "delete"}),
    ],
)
def test_a_token_may_do_what_it_says(cast, run, permission, allowed):
    put(client_of(make_api_token(cast.alice, cast.acme, cast.fraud).text), run, "a")
    token = make_api_token(cast.alice, cast.acme, cast.fraud, permissions=(permission,))
    for method in ("get", "put", "delete"):
        answer = getattr(client_of(token.text), method)(url_of(run, "a"))
        assert status_of(answer) == (200 if method in allowed else 403), method


def test_a_session_may_write_only_from_our_own_pages(cast, run, client_with_session):
    url = url_of(run, "a", "/mlflow/acme/fraud/ajax-api/2.0")
    answer = client_with_session.put(url, b"abc", "application/octet-stream")
    assert answer.status_code == 403
    evil = {"headers": {"origin": "https://evil.example"}}
    answer = client_with_session.put(url, b"abc", "application/octet-stream", **evil)
    assert answer.status_code == 403
    ours = {"headers": {"origin": "http://testserver"}}
    answer = client_with_session.put(url, b"abc", "application/octet-stream", **ours)
    assert answer.status_code == 200
    assert b"".join(client_with_session.get(url)) == b"abc"


@pytest.fixture
def client_with_session(cast):
    client = client_of()
    client.force_login(cast.alice)
    return client


# Uploads that go wrong


def send(client, run: Run, body, **environ):
    """PUT a body that is read from `body`, whatever the headers say of it."""
    given = {"wsgi.input": body, **environ}
    return client.generic("PUT", url_of(run, "a"), **given)


def refused_and_gone(answer, status: int, store) -> bool:
    return answer.status_code == status and nothing_was_stored(store)


def test_a_body_that_ends_early_stores_nothing(alice_in_fraud, run, store):
    answer = send(alice_in_fraud, run, io.BytesIO(b"abc"), CONTENT_LENGTH="10")
    assert refused_and_gone(answer, 400, store)
    assert "ended after 3 of 10 bytes" in answer.json()["message"]


def test_a_connection_that_breaks_stores_nothing(alice_in_fraud, run, store):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= CHUNK_BYTES:
                raise ConnectionResetError
            return super().read(size)

    body = Broken(bytes(3 * CHUNK_BYTES))
    length = str(3 * CHUNK_BYTES)
    answer = send(alice_in_fraud, run, body, CONTENT_LENGTH=length)
    assert refused_and_gone(answer, 400, store)


def test_a_body_over_the_limit_stores_nothing(alice_in_fraud, run, store, settings):
    settings.MAX_ARTIFACT_BYTES = 10
    assert put(alice_in_fraud, run, "a", b"x" * 10).status_code == 200
    alice_in_fraud.delete(url_of(run, "a"))
    before = files_in(store)
    answer = put(alice_in_fraud, run, "b", b"x" * 11)
    assert answer.status_code == 413
    assert files_in(store) == before
    assert not PackageFile._base_manager.exists()


def test_a_body_over_the_limit_is_refused_unread(alice_in_fraud, run, store, settings):
    class Unread(io.BytesIO):
        def read(self, size=-1):
            raise AssertionError("read")

    settings.MAX_ARTIFACT_BYTES = 10
    answer = send(alice_in_fraud, run, Unread(b"x" * 11), CONTENT_LENGTH="11")
    assert refused_and_gone(answer, 413, store)


CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}


def digest(content: bytes) -> str:
    encoded = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return f"sha-256=:{encoded}:"


def test_a_body_without_a_length_may_be_empty_or_proved(alice_in_fraud, run):
    """mlflow's client sends an empty file in this way."""
    assert send(alice_in_fraud, run, io.BytesIO(), **CHUNKED).status_code == 200
    assert b"".join(alice_in_fraud.get(url_of(run, "a"))) == b""
    content = os.urandom(2 * CHUNK_BYTES)
    proof = {"HTTP_CONTENT_DIGEST": digest(content)}
    answer = send(alice_in_fraud, run, io.BytesIO(content), **CHUNKED, **proof)
    assert answer.status_code == 200
    assert b"".join(alice_in_fraud.get(url_of(run, "a"))) == content


@pytest.mark.parametrize(
    "proof,status",
    [
        ({}, 400),
        ({"HTTP_CONTENT_DIGEST": digest(b"whole")}, 400),
        ({"HTTP_CONTENT_DIGEST": digest(b"half")}, 413),
    ],
)
def test_a_body_without_a_length_is_not_believed(
    alice_in_fraud, run, store, settings, proof, status
):
    settings.MAX_ARTIFACT_BYTES = 3 if status == 413 else 10
    answer = send(alice_in_fraud, run, io.BytesIO(b"half"), **CHUNKED, **proof)
    assert refused_and_gone(answer, status, store)


def test_a_wrong_digest_stores_nothing(alice_in_fraud, run, store):
    answer = put(alice_in_fraud, run, "a", b"abc", HTTP_CONTENT_DIGEST=digest(b"x"))
    assert refused_and_gone(answer, 400, store)
    answer = put(alice_in_fraud, run, "a", b"abc", HTTP_CONTENT_ENCODING="gzip")
    assert refused_and_gone(answer, 400, store)


class Meanwhile(io.BytesIO):
    """A body during whose reading something else happens."""

    def __init__(self, content: bytes, happens):
        super().__init__(content)
        self.happens = happens

    def read(self, size=-1):
        if self.happens:
            self.happens, happens = None, self.happens
            happens()
        return super().read(size)


def as_owner(function):
    def run_as_owner():
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")
            function()
            cursor.execute("SET ROLE app_rw")

    return run_as_owner


def test_a_token_revoked_meanwhile_stores_nothing(alice_in_fraud, run):
    revoke = as_owner(lambda: ApiToken._base_manager.update(revoked_at=timezone.now()))
    answer = send(alice_in_fraud, run, Meanwhile(b"abc", revoke), CONTENT_LENGTH="3")
    assert answer.status_code == 401
    assert not PackageFile._base_manager.exists()


def test_a_run_deleted_meanwhile_takes_nothing(alice_in_fraud, run):
    delete = as_owner(
        lambda: Run._base_manager.filter(pk=run.pk).update(deleted_at=timezone.now())
    )
    answer = send(alice_in_fraud, run, Meanwhile(b"abc", delete), CONTENT_LENGTH="3")
    assert answer.status_code == 400
    assert "Current state is deleted" in answer.json()["message"]
    assert not PackageFile._base_manager.exists()


def test_a_deleted_run_is_read_and_not_written(alice_in_fraud, run, store):
    put(alice_in_fraud, run, "a")
    Run._base_manager.filter(pk=run.pk).update(deleted_at=timezone.now())
    assert b"".join(alice_in_fraud.get(url_of(run, "a"))) == b"abc"
    assert len(listed(alice_in_fraud, run)["files"]) == 1
    before = files_in(store)
    for answer in (
        put(alice_in_fraud, run, "b", b"other"),
        alice_in_fraud.delete(url_of(run, "a")),
    ):
        assert answer.status_code == 400
        assert "Current state is deleted" in answer.json()["message"]
    assert files_in(store) == before


def test_a_full_disk_is_told_and_stores_nothing(
    alice_in_fraud, run, store, monkeypatch
):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = put(alice_in_fraud, run, "a")
    assert refused_and_gone(answer, 503, store)
    assert answer["Retry-After"] == "1"


# What the web UI sends and asks


def ui_upload(client, run: Run | None, path: str, content: bytes):
    query = f"run_uuid={run.pk.hex if run else ''}&path={path}"
    url = f"/ajax-api/2.0/mlflow/upload-artifact?{query}"
    return client.post(url, content, "application/octet-stream")


def test_the_ui_may_upload_a_little(alice_in_fraud, run):
    assert ui_upload(alice_in_fraud, run, "a/b", b"x" * 1000).status_code == 200
    assert len(listed(alice_in_fraud, run, "a")["files"]) == 1
    answer = ui_upload(alice_in_fraud, run, "c", b"x" * (10 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    answer = ui_upload(alice_in_fraud, None, "c", b"x")
    assert answer.status_code == 400
    assert "Missing value for required parameter" in answer.json()["message"]


# Downloads


def test_a_page_somebody_uploaded_stays_in_its_box(alice_in_fraud, run):
    put(alice_in_fraud, run, "evil.html", b"<script>alert(1)</script>")
    query = f"run_id={run.pk.hex}&path=evil.html"
    for url in (url_of(run, "evil.html"), f"/get-artifact?{query}"):
        answer = alice_in_fraud.get(url)
        assert status_of(answer) == 200
        assert answer["Content-Disposition"] == 'attachment; filename="evil.html"'
        assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer["Cache-Control"] == "private, no-cache"


def test_a_part_of_a_file_is_sent(alice_in_fraud, run):
    put(alice_in_fraud, run, "a", b"0123456789")
    answer = alice_in_fraud.get(url_of(run, "a"), headers={"range": "bytes=2-4"})
    assert (answer.status_code, b"".join(answer)) == (206, b"234")
    answer = alice_in_fraud.get(url_of(run, "a"), headers={"range": "bytes=10-"})
    assert answer.status_code == 416
    etag = f'"{hashlib.sha256(b"0123456789").hexdigest()}"'
    answer = alice_in_fraud.get(url_of(run, "a"), headers={"if-none-match": etag})
    assert answer.status_code == 304


def test_head_opens_no_file(alice_in_fraud, run, store):
    put(alice_in_fraud, run, "a", b"abc")
    for path in files_in(store):
        path.unlink()
    answer = alice_in_fraud.head(url_of(run, "a"))
    assert (answer.status_code, answer["Content-Length"]) == (200, "3")
    assert answer.content == b""


def test_a_folder_is_no_file(alice_in_fraud, run):
    put(alice_in_fraud, run, "a/b")
    answer = alice_in_fraud.get(url_of(run, "a"))
    assert answer.status_code == 400
    assert "is a folder" in answer.json()["message"]
    answer = alice_in_fraud.get(url_of(run, "a/c"))
    assert answer.status_code == 404
    assert answer.json() == {
        "error_code": "RESOURCE_DOES_NOT_EXIST",
        "message": "No such artifact: 'a/c'",
    }


def only_file(store) -> Path:
    (path,) = files_in(store)
    return path


def test_a_planted_link_is_not_followed(alice_in_fraud, run, store, tmp_path):
    put(alice_in_fraud, run, "a", b"abc")
    secret = tmp_path / "secret"
    secret.write_bytes(b"xyz")
    path = only_file(store)
    path.unlink()
    path.symlink_to(secret)
    answer = alice_in_fraud.get(url_of(run, "a"))
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_a_damaged_blob_is_never_sent_as_if_it_were_whole(
    alice_in_fraud, run, store, caplog
):
    put(alice_in_fraud, run, "a", b"abc")
    only_file(store).write_bytes(b"abd")
    with pytest.raises(DamagedBlob):
        b"".join(alice_in_fraud.get(url_of(run, "a")))
    assert "is damaged" in caplog.text
    only_file(store).write_bytes(b"ab")
    assert alice_in_fraud.get(url_of(run, "a")).status_code == 404


def test_a_download_that_is_broken_off_closes_its_file(alice_in_fraud, run):
    put(alice_in_fraud, run, "a", bytes(4 * CHUNK_BYTES))
    answer = alice_in_fraud.get(url_of(run, "a"))
    owners = (getattr(closer, "__self__", None) for closer in answer._resource_closers)
    (stream,) = (owner for owner in owners if isinstance(owner, BlobStream))
    next(iter(answer))
    assert not stream.file.closed
    for closer in answer._resource_closers:  # what the server's close() does
        closer()
    assert stream.file.closed


def test_two_tenants_with_the_same_bytes_keep_two_blobs(
    alice_in_fraud, mallory, cast, run, store
):
    theirs = RunFactory(experiment__project=cast.umbrella_fraud)
    put(alice_in_fraud, run, "a", b"abc")
    url = url_of(theirs, "a", "/mlflow/umbrella/fraud/api/2.0")
    assert mallory.put(url, b"abc", "application/octet-stream").status_code == 200
    digest = hashlib.sha256(b"abc").hexdigest()
    for organization in (cast.acme, cast.umbrella):
        assert store.exists(blob_name(organization.pk, digest))


# While bytes flow: on real connections, without a test's transaction around


@pytest.fixture
def token(committed):  # noqa: F811 - pytest's way
    user = UserFactory(username=f"editor-{time.monotonic_ns()}")
    MembershipFactory(organization=committed.organization, user=user, role="owner")
    token = make_api_token(user, committed.organization, committed.project)
    yield token.text
    ApiToken._base_manager.filter(user=user).delete()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM users WHERE id = %s", [user.pk])
        cursor.execute("SET session_replication_role = origin")


class Watching(io.BytesIO):
    """Notes what its thread holds of the database when it is read."""

    def __init__(self, content: bytes):
        super().__init__(content)
        self.held: list[object] = []

    def read(self, size=-1):
        self.held.append(connection.connection)
        return super().read(size)


def test_a_slow_upload_holds_no_transaction_and_no_connection(committed, token):  # noqa: F811
    body = Watching(bytes(2 * CHUNK_BYTES))
    outcome = []

    def upload():
        # Not ours, which would change the role of a connection that is given back.
        client = Client(headers={"authorization": f"Bearer {token}"})
        length = {"CONTENT_LENGTH": str(2 * CHUNK_BYTES), "wsgi.input": body}
        outcome.append(client.generic("PUT", url_of(committed, "a"), **length))
        connections["default"].close()

    thread = threading.Thread(target=upload)
    thread.start()
    thread.join()
    assert outcome[0].status_code == 200, outcome[0].content
    assert len(body.held) >= 2
    assert set(body.held) == {None}


# A folder in one piece: the run's package has an address for that


def test_a_folder_of_a_run_is_one_zip(alice, alice_in_fraud, run):
    for path in ("model/MLmodel", "model/data/x.bin", "other.txt"):
        put(alice_in_fraud, run, path, path.encode())
    package = Package._base_manager.get()
    url = f"/api/v1/organizations/acme/projects/fraud/packages/{package.pk}/archive/"
    answer = alice.get(url, {"folder": "model"})
    assert answer.streaming
    with zipfile.ZipFile(io.BytesIO(b"".join(answer))) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {
        "model/MLmodel": b"model/MLmodel",
        "model/data/x.bin": b"model/data/x.bin",
    }

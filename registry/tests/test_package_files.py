"""Files of packages by name: PUT, GET, HEAD, DELETE, and what each refuses."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import client_of
from registry.models import Blob, Package, PackageFile
from registry.storage import ArtifactKey
from registry.storage.keys import is_safe
from registry.tests.factories import (
    ModelVersionFactory,
    PackageFactory,
    RunFactory,
)
from tenants.tests.factories import (
    ProjectMemberFactory,
    ServiceAccountFactory,
    make_api_token,
)

FRAUD = "/api/v1/organizations/acme/projects/fraud/"
TOOL = FRAUD + "packages/tool/1.0/"
BYTES = b"some bytes of a model"
SHA256 = hashlib.sha256(BYTES).hexdigest()


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def editor(cast):
    robot = ServiceAccountFactory(organization=cast.acme, name="robot")
    ProjectMemberFactory(
        project=cast.fraud, user=None, service_account=robot, role="editor"
    )
    return client_of(make_api_token(robot, cast.acme, cast.fraud).text)


def put(client, address, body=BYTES, **headers):
    return client.generic(
        "PUT", address, body, "application/octet-stream", headers=headers
    )


def content(response) -> bytes:
    return b"".join(response) if response.streaming else response.content


def code_of(response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def message_of(response) -> str:
    return response.json()["error"]["message"]


# PUT


def test_the_first_file_makes_the_package_and_is_new(alice):
    made = put(alice, TOOL + "bin/tool.tar")
    assert made.status_code == 201, made.content
    assert made["ETag"] == f'"{SHA256}"'
    assert made["Location"].endswith(TOOL + "bin/tool.tar")
    body = made.json()
    assert (body["path"], body["sha256"]) == ("bin/tool.tar", SHA256)
    assert body["size_bytes"] == len(BYTES)
    package = body["package"]
    assert (package["type"], package["status"]) == ("generic", "default")
    again = put(alice, TOOL + "bin/other.tar")
    assert again.json()["package"]["id"] == package["id"]


def test_other_bytes_replace_a_file_and_the_blobs_stay_for_the_sweep(alice):
    put(alice, TOOL + "a")
    replaced = put(alice, TOOL + "a", b"other")
    assert replaced.status_code == 200
    assert "Location" not in replaced
    assert content(alice.get(TOOL + "a")) == b"other"
    assert Blob._base_manager.count() == 2


def test_the_same_bytes_are_one_blob_of_the_organization(alice, mallory):
    put(alice, TOOL + "a")
    put(alice, TOOL + "b")
    assert Blob._base_manager.count() == 1
    put(mallory, TOOL.replace("acme", "umbrella") + "a")
    assert Blob._base_manager.count() == 2


@pytest.mark.parametrize(
    "query,package",
    [
        ("?type=model", {"type": "model"}),
        ("?status=hidden", {"status": "hidden"}),
        ("?status=hidden&type=generic", {"type": "generic", "status": "hidden"}),
    ],
)
def test_the_first_file_says_type_and_status(alice, query, package):
    made = put(alice, TOOL + "a" + query).json()["package"]
    assert {**made, **package} == made


@pytest.mark.parametrize("query", ["?type=model", "?status=hidden"])
def test_a_package_keeps_type_and_status(alice, query):
    put(alice, TOOL + "a")
    refused = put(alice, TOOL + "b" + query)
    assert code_of(refused) == (409, "conflict")


@pytest.mark.parametrize(
    "query,said",
    [
        ("?type=candidate", "ml_candidate_"),
        ("?type=docker", "type='docker'"),
        ("?status=error", "status='error'"),
        ("?state=hidden", "'state'"),
        ("?type=model&type=generic", "type is given twice"),
        ("?sha256=abc", "sha256='abc'"),
    ],
)
def test_a_query_that_says_nothing_good_is_refused(alice, query, said):
    refused = put(alice, TOOL + "a" + query)
    assert code_of(refused) == (400, "invalid_input")
    assert said in message_of(refused)


@pytest.mark.parametrize(
    "name,version,said",
    [
        ("a b", "1", "name='a b'"),
        ("größe", "1", "name="),
        ("..", "1", "name='..'"),
        ("a" * 256, "1", "name="),
        ("a", "1 0", "version='1 0'"),
        ("a", ".", "version='.'"),
        ("a\n", "1", "name="),
    ],
)
def test_names_and_versions_have_few_characters(alice, name, version, said):
    refused = put(alice, f"{FRAUD}packages/{quote(name)}/{quote(version)}/x")
    assert code_of(refused) == (400, "invalid_input")
    assert said in message_of(refused)
    assert not Package._base_manager.exists()


@pytest.mark.parametrize("name", ["a.b_c-d+e~f@g", "A", "0", "a" * 255])
def test_names_have_the_characters_of_other_registries(alice, name):
    assert put(alice, f"{FRAUD}packages/{name}/1.0-rc.1+x/f").status_code == 201


@pytest.mark.parametrize("first,second", [("a", "a/b"), ("a/b", "a")])
def test_a_path_is_either_a_file_or_a_folder(alice, first, second):
    put(alice, TOOL + first)
    refused = put(alice, TOOL + second)
    assert code_of(refused) == (400, "invalid_input")
    assert PackageFile._base_manager.count() == 1


HOSTILE = [
    "../x", "a/../b", ".", "..", "a//b", "/a", "a/", "a/./b", "a\\b", "C:/x", "a\x00",
    "a\r\nX: 1", "%2e%2e/x", "%252e%252e%252fx", "．．／x", "a\x7f", "x" * 1025,
    "file:///etc/passwd", "/".join("a" * 150), "", "a\u2028b",
]  # fmt: skip


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_climbs_is_refused_before_anything(alice, method, path):
    refused = alice.generic(method, TOOL + quote(path), BYTES)
    assert code_of(refused) == (400, "invalid_input")
    assert not Package._base_manager.exists()
    assert not Blob._base_manager.exists()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_a_path_comes_back_as_it_was_sent_or_is_refused(alice, path):
    answer = put(alice, TOOL + "below/" + quote(path), path.encode())
    if not is_safe("below/" + path):
        assert answer.status_code == 400
        return
    if answer.status_code == 400:  # another example stands where it needs a folder
        assert "is either a file or a folder" in message_of(answer)
        return
    assert answer.json()["path"] == "below/" + path
    assert content(alice.get(TOOL + "below/" + quote(path))) == path.encode()
    stored = PackageFile._base_manager.filter(path="below/" + path).count()
    assert stored == 1
    assert ArtifactKey("below/" + path).path == "below/" + path


# Digests


def content_digest(sha256: str) -> str:
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


OTHER = hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize(
    "query,headers",
    [
        ("", {"content-digest": content_digest(SHA256)}),
        ("", {"x-checksum-sha256": SHA256.upper()}),
        (f"?sha256={SHA256}", {}),
        (f"?sha256={SHA256}", {"x-checksum-sha256": SHA256}),
    ],
)
def test_a_digest_that_fits_is_taken(alice, query, headers):
    assert put(alice, TOOL + "a" + query, **headers).status_code == 201


@pytest.mark.parametrize(
    "query,headers,said",
    [
        ("", {"content-digest": content_digest(OTHER)}, "does not have the digest"),
        ("", {"x-checksum-sha256": OTHER}, "does not have the digest"),
        (f"?sha256={OTHER}", {}, "does not have the digest"),
        (f"?sha256={OTHER}", {"x-checksum-sha256": SHA256}, "two different digests"),
        ("", {"x-checksum-sha256": "abc"}, "X-Checksum-Sha256='abc'"),
    ],
)
def test_a_digest_that_does_not_fit_stores_nothing(alice, query, headers, said):
    refused = put(alice, TOOL + "a" + query, **headers)
    assert code_of(refused) == (400, "invalid_input")
    assert said in message_of(refused)
    assert not Package._base_manager.exists()


# Conditions


def test_if_none_match_star_stores_only_what_is_new(alice):
    assert put(alice, TOOL + "a", **{"if-none-match": "*"}).status_code == 201
    refused = put(alice, TOOL + "a", b"other", **{"if-none-match": "*"})
    assert code_of(refused) == (412, "precondition_failed")
    assert content(alice.get(TOOL + "a")) == BYTES


def test_if_match_replaces_only_what_was_seen(alice):
    tag = f'"{SHA256}"'
    missing = put(alice, TOOL + "a", **{"if-match": tag})
    assert code_of(missing) == (412, "precondition_failed")
    put(alice, TOOL + "a")
    assert put(alice, TOOL + "a", b"other", **{"if-match": tag}).status_code == 200
    assert put(alice, TOOL + "a", **{"if-match": tag}).status_code == 412
    assert put(alice, TOOL + "a", **{"if-match": "*"}).status_code == 200


def test_a_condition_without_tags_is_refused(alice):
    assert put(alice, TOOL + "a", **{"if-match": "abc"}).status_code == 400


def test_a_project_may_refuse_to_replace_files(alice, cast):
    policy = {"duplicate_files": "deny"}
    address = "/api/v1/organizations/acme/projects/fraud/"
    assert (
        alice.patch(address, policy, content_type="application/json").json()[
            "duplicate_files"
        ]
        == "deny"
    )
    put(alice, TOOL + "a")
    refused = put(alice, TOOL + "a", b"other")
    assert code_of(refused) == (409, "conflict")
    early = put(alice, TOOL + "a", b"other", **{"x-checksum-sha256": OTHER})
    assert code_of(early) == (409, "conflict")
    assert put(alice, TOOL + "a").status_code == 200, "a client that did not hear"
    assert put(alice, TOOL + "b", b"other").status_code == 201


# GET and HEAD


def test_a_download_has_its_digest_in_the_head(alice):
    put(alice, TOOL + "bin/a.txt")
    found = alice.get(TOOL + "bin/a.txt")
    assert content(found) == BYTES
    assert found["ETag"] == f'"{SHA256}"'
    assert found["Repr-Digest"] == content_digest(SHA256)
    assert found["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert found["X-Content-Type-Options"] == "nosniff"
    head = alice.head(TOOL + "bin/a.txt")
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Length"] == str(len(BYTES))


@pytest.mark.parametrize(
    "headers,status,body",
    [
        ({"range": "bytes=5-9"}, 206, BYTES[5:10]),
        ({"range": "bytes=-4"}, 206, BYTES[-4:]),
        ({"range": "bytes=900-"}, 416, b""),
        ({"if-none-match": f'"{SHA256}"'}, 304, b""),
        ({"range": "bytes=0-3", "if-range": f'"{SHA256}"'}, 206, BYTES[:4]),
        ({"range": "bytes=0-3", "if-range": f'"{OTHER}"'}, 200, BYTES),
    ],
)
def test_a_download_heeds_ranges_and_conditions(alice, headers, status, body):
    put(alice, TOOL + "a")
    found = alice.get(TOOL + "a", headers=headers)
    assert (found.status_code, content(found)) == (status, body)


def test_what_is_not_there_is_not_found_in_the_same_words(alice, mallory, cast):
    put(alice, TOOL + "a")
    theirs = TOOL.replace("acme", "umbrella")
    put(mallory, theirs + "b", b"secret")
    answers = [alice.get(TOOL + "b"), mallory.get(theirs + "a")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert mallory.get(TOOL + "a").status_code == 404
    assert alice.get(FRAUD + "packages/tool/9/a").status_code == 404
    sibling = TOOL.replace("fraud", "churn")
    assert alice.get(sibling + "a").status_code == 404


# DELETE and roles


def test_a_file_is_removed_by_maintainers_only(alice, editor):
    assert put(editor, TOOL + "a").status_code == 201
    assert editor.delete(TOOL + "a").status_code == 403
    assert alice.delete(TOOL + "a").status_code == 204
    assert alice.delete(TOOL + "a").status_code == 404
    assert alice.get(TOOL + "a").status_code == 404


def test_readers_download_and_write_nothing(alice, bob):
    put(alice, TOOL + "a")
    assert content(bob.get(TOOL + "a")) == BYTES
    assert put(bob, TOOL + "a").status_code == 403
    assert bob.delete(TOOL + "a").status_code == 403


def test_another_method_is_told_which_there_are(alice, stranger):
    refused = alice.post(TOOL + "a")
    assert code_of(refused) == (405, "method_not_allowed")
    assert refused["Allow"] == "GET, PUT, DELETE, HEAD"
    assert stranger.post(TOOL + "a").status_code == 401


def test_uploads_cost_few_statements_however_full_the_package_is(alice):
    put(alice, TOOL + "first")
    costs = []
    for number in range(3):
        answer = put(alice, f"{TOOL}folder/{number}")
        costs.append(int(answer["X-Query-Count"]))
    assert len({*costs}) == 1
    # Savepoint, admission, package, file, rule, room, release; then savepoint,
    # admission, savepoint, package, file, policy, attach, file, release, release.
    assert costs[0] <= 18


# Candidates and logged models


def test_a_candidates_name_belongs_to_its_run(alice, cast):
    run = RunFactory(experiment__project=cast.fraud)
    address = f"{FRAUD}packages/ml_candidate_{run.iid}/-/model/MLmodel"
    assert put(alice, address).json()["package"]["type"] == "candidate"
    listed = alice.get(
        "/api/2.0/mlflow/artifacts/list",
        {"run_id": run.pk.hex},
        headers={"x-mlflow-workspace": "fraud"},
    )
    assert listed.json()["files"] == [{"path": "model", "is_dir": True}]


@pytest.mark.parametrize(
    "name,version,status",
    [
        ("ml_candidate_999999", "-", 404),
        ("ml_candidate_{run}", "1.0", 400),
        ("ml_candidate_0{run}", "-", 400),
        ("ML_candidate_{run}", "-", 400),
        ("ml_candidate_x", "-", 400),
        ("ml_candidate_{theirs}", "-", 404),
        ("ml_candidate_{deleted}", "-", 400),
        ("ml_model_" + "0" * 32, "-", 403),
        ("ML_Model_1", "1", 403),
    ],
)
def test_a_reserved_name_is_nobody_elses(alice, cast, name, version, status):
    run = RunFactory(experiment__project=cast.fraud)
    theirs = RunFactory(experiment__project=cast.churn)
    deleted = RunFactory(experiment__project=cast.fraud, deleted_at="2026-01-01T00:00Z")
    name = name.format(run=run.iid, theirs=theirs.iid, deleted=deleted.iid)
    answer = put(alice, f"{FRAUD}packages/{name}/{version}/x")
    assert answer.status_code == status, answer.content
    assert not Package._base_manager.exists()


# Production (case H1)


def promoted_package(project) -> Package:
    package = PackageFactory(project=project, name="tool", version="1.0")
    ModelVersionFactory(
        registered_model__project=project, package=package, stage="Production"
    )
    return package


def test_files_of_a_version_in_production_stay_as_they_are(alice, cast):
    package = promoted_package(cast.fraud)
    put(alice, TOOL + "a")
    assert put(alice, TOOL + "a").status_code == 200
    for refused in (
        put(alice, TOOL + "a", b"other"),
        alice.delete(TOOL + "a"),
        alice.delete(f"{FRAUD}packages/{package.pk}/"),
    ):
        assert code_of(refused) == (409, "conflict")
        assert "is in Production" in message_of(refused)
    assert put(alice, TOOL + "new").status_code == 201
    assert content(alice.get(TOOL + "a")) == BYTES


# What an upload holds (case G12)


def test_an_archive_in_an_upload_is_never_opened(alice, tmp_path):
    bomb = b"PK\x03\x04" + b"\x00" * 100
    put(alice, TOOL + "bomb.zip", bomb)
    assert content(alice.get(TOOL + "bomb.zip")) == bomb
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored) == 1

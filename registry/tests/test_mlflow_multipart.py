from __future__ import annotations

import hashlib
import io
import json
import os
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.core.management import call_command
from django.utils import timezone

from conftest import client_of
from mlops.cli import UsageError
from registry import jobs
from registry.models import MultipartUpload, PackageFile, UploadPart
from registry.storage import CHUNK_BYTES
from registry.tests.factories import RunFactory, UploadFactory
from registry.tests.test_mlflow_artifacts import files_in, root_of, url_of
from tenants.models import Project
from tenants.tests.superuser import superuser

PROXY = "/api/2.0/mlflow-artifacts"
THEIRS = "/mlflow/umbrella/fraud"
JSON = {"content_type": "application/json"}


pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def run(cast):
    return RunFactory(experiment__project=cast.fraud)


def create(client, run, name="model.bin", *, parts=2, folder="", prefix=""):
    at = f"{root_of(run)}/{folder}".rstrip("/")
    body = {"path": f"/home/alice/{name}", "num_parts": parts}
    return client.post(f"{prefix}{PROXY}/mpu/create/{at}", body, **JSON)


def begun(client, run, **more) -> dict:
    answer = create(client, run, **more)
    assert answer.status_code == 200, answer.content
    return answer.json()


def send(url: str, content: bytes, **more):
    """As the client does: by the address alone."""
    address = urlsplit(url)
    return client_of().put(
        f"{address.path}?{address.query}",
        content,
        "application/octet-stream",
        **more,
    )


def sent(made: dict, contents: list[bytes]) -> list[dict]:
    parts = []
    for credential, content in zip(made["credentials"], contents, strict=False):
        answer = send(credential["url"], content)
        assert answer.status_code == 200, answer.content
        number = credential["part_number"]
        parts.append({"part_number": number, "etag": answer["ETag"], "url": "x"})
    return parts


def finish(
    client, run, made, parts, verb="complete", *, name="model.bin", folder="", at=""
):
    root = f"{root_of(run)}/{folder}".rstrip("/")
    body = {"path": f"/home/alice/{name}", "upload_id": made["upload_id"]}
    if parts is not None:
        body["parts"] = parts
    return client.post(f"{at}{PROXY}/mpu/{verb}/{root}", body, **JSON)


def no_parts_are_left(store) -> bool:
    return not [path for path in files_in(store) if "drafts" in path.parts]


@pytest.mark.parametrize("folder", ["", "a/b"])
def test_a_file_sent_in_parts_is_one_file(alice_in_fraud, run, store, folder):
    contents = [os.urandom(CHUNK_BYTES + 7), os.urandom(CHUNK_BYTES), b"end"]
    made = begun(alice_in_fraud, run, parts=3, folder=folder)
    assert [each["part_number"] for each in made["credentials"]] == [1, 2, 3]
    assert all(each["headers"] == {} for each in made["credentials"])
    answer = finish(alice_in_fraud, run, made, sent(made, contents), folder=folder)
    assert (answer.status_code, answer.content) == (200, b"{}")
    whole = b"".join(contents)
    answer = alice_in_fraud.get(url_of(run, f"{folder}/model.bin".lstrip("/")))
    assert b"".join(answer) == whole
    assert answer["ETag"] == f'"{hashlib.sha256(whole).hexdigest()}"'
    assert no_parts_are_left(store)


def nothing_was_attached(run) -> bool:
    return not PackageFile._base_manager.exists()


@pytest.mark.parametrize("prefix", ["", "/mlflow/acme/fraud"])
def test_part_urls_lead_to_where_the_client_came_in(
    alice_in_fraud,
    run,
    prefix,
):
    made = begun(alice_in_fraud, run, prefix=prefix)
    (first, _) = (urlsplit(each["url"]) for each in made["credentials"])
    assert first.netloc == "testserver"
    assert first.path == f"{prefix}{PROXY}/mpu/parts/{made['upload_id']}/1"
    sent(made, [b"a", b"b"])


def test_a_path_of_windows_names_the_same_file(alice_in_fraud, run):
    body = {"path": "C:\\Users\\alice\\model.bin", "num_parts": 1}
    at = f"{PROXY}/mpu/create/{root_of(run)}"
    made = alice_in_fraud.post(at, body, **JSON).json()
    parts = sent(made, [b"abc"])
    assert finish(alice_in_fraud, run, made, parts).status_code == 200
    assert alice_in_fraud.get(url_of(run, "model.bin")).status_code == 200


@pytest.mark.parametrize("count", [0, -1, 10_001, 100_000, 2**63, "many", 1.5])
def test_an_upload_has_one_to_ten_thousand_parts(alice_in_fraud, run, count):
    answer = create(alice_in_fraud, run, parts=count)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "num_parts" in answer.json()["message"]
    assert not MultipartUpload._base_manager.exists()


def edited(**change):
    def edit(parts):
        return [{**parts[0], **change}, *parts[1:]]

    return edit


@pytest.mark.parametrize(
    "edit,words",
    [
        (edited(part_number=0), "Part 0: the upload has parts 1 to 3."),
        (edited(part_number=-1), "Part -1: the upload has parts 1 to 3."),
        (edited(part_number=4), "Part 4: the upload has parts 1 to 3."),
        (edited(part_number=2), "A part is listed twice."),
        (edited(etag='"' + "0" * 64 + '"'), "Part 1 has another ETag"),
        (edited(etag=None), "Missing value for required parameter 'etag'"),
        (lambda parts: parts[1:], "Part 1 of 3 is missing."),
        (lambda parts: parts[:2], "Part 3 of 3 is missing."),
        (lambda parts: [], "Part 1 of 3 is missing."),
        (lambda parts: parts[::-1], "not in the order of their numbers"),
        (lambda parts: parts * 2, "A part is listed twice."),
        (lambda parts: ["x"], "Invalid value"),
        (lambda parts: None, "Missing value for required parameter 'parts'"),
        (
            lambda parts: [{"part_number": n, "etag": "x"} for n in range(1, 100_001)],
            "Part 4: the upload has parts 1 to 3.",
        ),
    ],
)
def test_parts_are_joined_only_when_they_are_all_there(
    alice_in_fraud,
    run,
    edit,
    words,
):
    made = begun(alice_in_fraud, run, parts=3)
    parts = sent(made, [b"a", b"b", b"c"])
    answer = finish(alice_in_fraud, run, made, edit(parts))
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert nothing_was_attached(run)
    assert finish(alice_in_fraud, run, made, parts).status_code == 200
    assert b"".join(alice_in_fraud.get(url_of(run, "model.bin"))) == b"abc"


def test_a_part_that_was_never_sent_is_missing(alice_in_fraud, run):
    made = begun(alice_in_fraud, run, parts=2)
    parts = sent(made, [b"a"])
    parts.append({"part_number": 2, "etag": parts[0]["etag"]})
    answer = finish(alice_in_fraud, run, made, parts)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Part 2 of 2 is missing."
    assert nothing_was_attached(run)


def test_a_part_may_be_sent_again_and_the_last_one_counts(alice_in_fraud, run):
    made = begun(alice_in_fraud, run, parts=1)
    first = sent(made, [b"old"])
    second = sent(made, [b"new"])
    assert finish(alice_in_fraud, run, made, first).status_code == 400
    assert finish(alice_in_fraud, run, made, second).status_code == 200
    assert b"".join(alice_in_fraud.get(url_of(run, "model.bin"))) == b"new"


def test_completing_twice_does_no_harm(alice_in_fraud, run):
    made = begun(alice_in_fraud, run)
    parts = sent(made, [b"a", b"b"])
    answers = [finish(alice_in_fraud, run, made, parts) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert PackageFile._base_manager.count() == 1
    assert finish(alice_in_fraud, run, made, None, "abort").status_code == 200
    assert PackageFile._base_manager.count() == 1


def test_what_was_aborted_leaves_nothing(alice_in_fraud, run, store):
    made = begun(alice_in_fraud, run)
    parts = sent(made, [b"a", b"b"])
    assert finish(alice_in_fraud, run, made, None, "abort").status_code == 200
    assert not MultipartUpload._base_manager.exists()
    assert not UploadPart._base_manager.exists()
    assert no_parts_are_left(store)
    assert send(made["credentials"][0]["url"], b"a").status_code == 404
    assert finish(alice_in_fraud, run, made, parts).status_code == 404
    assert nothing_was_attached(run)


# Signed addresses


def test_a_part_s_address_is_good_for_that_part_alone(alice_in_fraud, run):
    made, other = begun(alice_in_fraud, run), begun(alice_in_fraud, run, name="other")
    first, second = (each["url"] for each in made["credentials"])
    path, query = first.split("?")
    forged = [
        path,
        f"{path}?grant=",
        f"{path}?grant=x",
        f"{path}?{query}x",
        f"{path}?{query[:-1]}",
        f"{second.split('?')[0]}?{query}",
        f"{path.replace(made['upload_id'], other['upload_id'])}?{query}",
        f"{path}?grant={signing.dumps(['a', 'b', 1, 1], salt='another')}",
    ]
    for url in forged:
        answer = send(url, b"a")
        assert answer.status_code == 401, url
        assert answer["WWW-Authenticate"]
    for method in ("get", "post", "delete", "patch", "head"):
        address = urlsplit(first)
        client = client_of()
        answer = getattr(client, method)(f"{address.path}?{address.query}")
        assert answer.status_code == 401, method
    assert not UploadPart._base_manager.exists()


def test_a_part_s_address_is_good_for_some_minutes(alice_in_fraud, run, settings):
    assert settings.SIGNED_URL_SECONDS <= 15 * 60
    made = begun(alice_in_fraud, run)
    settings.SIGNED_URL_SECONDS = -1  # as if it were later
    answer = send(made["credentials"][0]["url"], b"a")
    assert answer.status_code == 403
    assert "expired" in answer.json()["message"]


def test_a_part_may_come_with_a_token_instead(alice_in_fraud, bob, run, mallory):
    made = begun(alice_in_fraud, run)
    path = urlsplit(made["credentials"][0]["url"]).path
    assert alice_in_fraud.put(path, b"a", "text/plain").status_code == 200
    below = f"/mlflow/acme/fraud{path}"
    assert bob.put(below, b"a", "text/plain").status_code == 403
    assert mallory.put(f"{THEIRS}{path}", b"a", "text/plain").status_code == 404
    for number in ("0", "3", "x", "-1", "1e1", "10001", "९"):
        answer = alice_in_fraud.put(path[:-1] + number, b"a", "text/plain")
        assert answer.status_code == 404, number


def test_a_part_is_as_large_as_its_address_says(
    alice_in_fraud,
    run,
    store,
    settings,
):
    settings.MAX_PART_BYTES = 10
    made = begun(alice_in_fraud, run)
    settings.MAX_PART_BYTES = 1000
    url = made["credentials"][0]["url"]
    assert send(url, b"x" * 11).status_code == 413
    short = {"wsgi.input": io.BytesIO(b"abc"), "CONTENT_LENGTH": "9"}
    assert send(url, b"", **short).status_code == 400
    assert no_parts_are_left(store)
    assert send(url, b"x" * 10).status_code == 200


def test_parts_together_are_no_larger_than_a_file(alice_in_fraud, run, settings):
    settings.MAX_ARTIFACT_BYTES = 10
    made = begun(alice_in_fraud, run)
    first, second = (each["url"] for each in made["credentials"])
    assert send(first, b"x" * 6).status_code == 200
    assert send(second, b"x" * 6).status_code == 413
    assert UploadPart._base_manager.count() == 1


def test_parts_under_way_count_as_held(alice_in_fraud, cast, run):
    Project._base_manager.update(storage_limit_bytes=10)
    first = begun(alice_in_fraud, run, name="a")["credentials"][0]["url"]
    second = begun(alice_in_fraud, run, name="b")["credentials"][0]["url"]
    assert send(first, b"x" * 6).status_code == 200
    refused = send(second, b"x" * 6)
    assert refused.status_code == 413
    assert "hold 0 of 10 bytes" in refused.json()["message"]
    assert send(second, b"x" * 4).status_code == 200
    assert send(first, b"y" * 6).status_code == 200  # the same part again


def test_no_upload_begins_where_no_file_has_room(alice_in_fraud, cast, run):
    Project._base_manager.update(storage_limit_files=0)
    answer = create(alice_in_fraud, run)
    assert answer.status_code == 409
    assert "hold 0 of 0 files" in answer.json()["message"]
    assert not MultipartUpload._base_manager.exists()


# Who may


def test_a_foreign_place_is_not_found_in_the_same_bytes(
    alice_in_fraud,
    mallory,
    cast,
    run,
):
    made = begun(alice_in_fraud, run)
    parts = sent(made, [b"a", b"b"])
    theirs = RunFactory(experiment__project=cast.umbrella_fraud)
    for verb in ("complete", "abort"):
        foreign = finish(mallory, run, made, parts, verb, at=THEIRS)
        assert foreign.status_code == 404
        # The run is theirs, the upload is not.
        answer = finish(mallory, theirs, made, parts, verb, at=THEIRS)
        unknown = finish(
            mallory, theirs, {"upload_id": "0" * 32}, parts, verb, at=THEIRS
        )
        assert answer.status_code == unknown.status_code == 404
        said = [each.content.decode() for each in (answer, unknown)]
        assert said[0].replace(made["upload_id"], "0" * 32) == said[1]
    assert create(mallory, run, prefix=THEIRS).status_code == 404
    root = f"{THEIRS}{PROXY}/presigned/{root_of(run)}"
    assert mallory.get(f"{root}/model.bin").status_code == 404
    assert MultipartUpload._base_manager.count() == 1


def test_an_upload_stays_at_its_place(alice_in_fraud, cast, run):
    made = begun(alice_in_fraud, run)
    parts = sent(made, [b"a", b"b"])
    beside = RunFactory(experiment=run.experiment)
    assert finish(alice_in_fraud, beside, made, parts).status_code == 404
    assert finish(alice_in_fraud, run, made, parts, name="x").status_code == 404
    assert finish(alice_in_fraud, run, made, parts, folder="x").status_code == 404
    assert nothing_was_attached(run)


def test_a_reader_begins_no_upload(bob, run):
    answer = create(bob, run, prefix="/mlflow/acme/fraud")
    assert answer.status_code == 403
    assert not MultipartUpload._base_manager.exists()


def test_a_run_deleted_meanwhile_takes_no_parts(alice_in_fraud, run):
    made = begun(alice_in_fraud, run)
    parts = sent(made, [b"a", b"b"])
    type(run)._base_manager.filter(pk=run.pk).update(deleted_at=timezone.now())
    assert finish(alice_in_fraud, run, made, parts).status_code == 400
    assert create(alice_in_fraud, run).status_code == 400
    assert nothing_was_attached(run)


@pytest.mark.parametrize("name", ["..", ".", "", "a\x00", "%2e%2e", "x" * 1025, "a\nb"])
def test_a_hostile_name_begins_no_upload(alice_in_fraud, run, store, name):
    answer = create(alice_in_fraud, run, name=name)
    assert answer.status_code == 400, answer.content
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert not MultipartUpload._base_manager.exists()
    assert files_in(store) == []


def test_a_project_has_so_many_open_uploads(alice_in_fraud, run, settings):
    settings.MAX_OPEN_UPLOADS = 2
    first = begun(alice_in_fraud, run)
    begun(alice_in_fraud, run)
    answer = create(alice_in_fraud, run)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "RESOURCE_LIMIT_EXCEEDED"
    assert "2 uploads of this project are open" in answer.json()["message"]
    finish(alice_in_fraud, run, first, None, "abort")
    begun(alice_in_fraud, run)


# Damage, and what is forgotten


def parts_of(store) -> list:
    return sorted(path for path in files_in(store) if path.parent.suffix == ".parts")


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_damaged_part_is_told(alice_in_fraud, run, store, harm):
    made = begun(alice_in_fraud, run)
    parts = sent(made, [b"first", b"second"])
    path = parts_of(store)[1]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes({"changed": b"seconD", "cut": b"sec"}[harm])
    answer = finish(alice_in_fraud, run, made, parts)
    assert answer.status_code == 400
    assert answer.json()["message"] == ("Part 2 is no longer stored: upload it again.")
    assert nothing_was_attached(run)


def test_the_worker_sweeps_uploads_that_nobody_completes(
    alice_in_fraud,
    run,
    store,
):
    old, young = begun(alice_in_fraud, run), begun(alice_in_fraud, run, name="young")
    sent(old, [b"a", b"b"])
    sent(young, [b"a"])
    yesterday = timezone.now() - timedelta(hours=25)
    rows = MultipartUpload._base_manager.filter(pk=old["upload_id"])
    rows.update(created_at=yesterday)
    for path in parts_of(store):
        if old["upload_id"] in path.parent.name.replace("-", ""):
            os.utime(path.parent, (yesterday.timestamp(),) * 2)
    jobs.sweep_uploads(timestamp=0)
    assert [row.pk.hex for row in MultipartUpload._base_manager.all()] == [
        young["upload_id"]
    ]
    assert UploadPart._base_manager.count() == 1
    assert len(parts_of(store)) == 1


def test_uploads_of_every_organization_are_swept(db, store):
    UploadFactory(), UploadFactory()
    MultipartUpload._base_manager.update(created_at=timezone.now() - timedelta(days=2))
    jobs.sweep_uploads(timestamp=0)
    assert not MultipartUpload._base_manager.exists()


# What the client is told beforehand


def test_the_client_is_told_what_it_may_do(stranger):
    told = stranger.get("/api/3.0/mlflow/server-info").json()
    assert told["multipart_uploads_enabled"] is True
    assert told["multipart_downloads_enabled"] is False


def test_a_folder_signs_no_downloads(alice_in_fraud, run):
    alice_in_fraud.put(url_of(run, "a"), b"abc", "text/plain")
    answer = alice_in_fraud.get(f"{PROXY}/presigned/{root_of(run)}/a")
    assert answer.status_code == 501
    assert answer.json() == {
        "error_code": "NOT_IMPLEMENTED",
        "message": "Multipart download is not supported for the current artifact"
        " repository",
    }
    missing = alice_in_fraud.get(f"{PROXY}/presigned/{root_of(run)}/b")
    assert missing.status_code == 404


@pytest.mark.parametrize("noun", ["upload", "download"])
def test_addresses_of_the_store_itself_are_refused_as_mlflow_does(
    alice_in_fraud,
    mallory,
    run,
    noun,
):
    url = f"/api/2.0/mlflow/artifacts/presigned-{noun}-url"
    body = {"run_id": run.pk.hex, "path": "a"}
    answer = alice_in_fraud.post(url, body, **JSON)
    assert answer.status_code == 400
    assert f"Presigned {noun} is not supported for proxied" in answer.json()["message"]
    assert mallory.post(THEIRS + url, body, **JSON).status_code == 404
    assert alice_in_fraud.post(url, {**body, "path": "../a"}, **JSON).status_code == 400


# The command


def swept(*words: str) -> dict:
    out = io.StringIO()
    call_command("sweep_uploads", *words, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_command_says_what_it_would_forget_and_then_forgets_it(
    alice_in_fraud, run, store
):
    sent(begun(alice_in_fraud, run), [b"a"])
    now = ("--older-than-hours", "0")
    assert swept()["uploads"] == 0
    assert swept(*now, "--dry-run")["uploads"] == 1
    assert MultipartUpload._base_manager.count() == 1
    (store.drafts / "left.draft").write_bytes(b"half")
    told = swept(*now)
    assert (told["uploads"], told["staged"], told["drafts"]) == (1, 1, 1)
    assert files_in(store) == []
    assert swept(*now)["uploads"] == 0


def test_the_command_takes_no_time_to_come():
    with pytest.raises(UsageError, match="use 0 or more"):
        call_command("sweep_uploads", "--older-than-hours", "-1")


def test_the_admin_shows_what_is_on_its_way(alice_in_fraud, run):
    staff = superuser()
    sent(begun(alice_in_fraud, run), [b"abc"])
    row = MultipartUpload._base_manager.get()
    page = staff.get("/admin/registry/multipartupload/")
    assert f"{root_of(run)}/model.bin" in page.content.decode()
    assert "1 of 2" in page.content.decode()
    assert (
        staff.get(f"/admin/registry/multipartupload/{row.pk}/change/")
    ).status_code == 200

"""Uploads in parts, and downloads past this server where the store signs URLs.

MLflow's client does so with large files, when server-info says that it may: it asks
for an address per part (create), sends the parts there without its token, and has them
joined (complete), or given up (abort).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path as route

from mlops.api.parsing import MAX_BODY_BYTES
from mlops.db.uuid7 import uuid7
from mlops.errors import InvalidInput
from mlops.streams import digest_header, upload_of
from mlops.telemetry import line_of
from registry.mlflow import schema
from registry.mlflow.endpoint import endpoint, read_object, reply
from registry.mlflow.errors import Unsupported
from registry.mlflow.holders import holder_of
from registry.mlflow.part_urls import PartGrant, read_grant
from registry.mlflow.places import Place, place_below_root
from registry.mlflow.streaming import Entrance, streaming, turns
from registry.mlflow.views.artifacts import find_file
from registry.models import MultipartUpload
from registry.services import uploads
from registry.services.uploads import ListedPart
from registry.storage import blob_name
from registry.storage.direct import direct_store
from registry.storage.parts import put_part
from tenants.context import Actor, tenant_transaction
from tenants.models import Project
from tenants.permissions import Permission

NO_DOWNLOAD = "Multipart download is not supported for the current artifact repository"
# Ten thousand parts with their addresses; a sane client sends a tenth of it.
MAX_LIST_BYTES = 16 * 1024**2
# What a client calls the file on its own disk, whichever system that is.
SEPARATORS = re.compile(r"[/\\]")


# What is asked, by the names of the protocol


def asked_to_create(*, path: str, num_parts: int = 1) -> tuple[str, int]:
    uploads.check_part_count(num_parts)
    return path, num_parts


def asked_to_complete(
    *, path: str, upload_id: str, parts: list
) -> tuple[str, str, list[ListedPart]]:
    return path, upload_id, [part_of(each) for each in parts]


def asked_to_abort(*, path: str, upload_id: str) -> tuple[str, str]:
    return path, upload_id


def part_of(given: Any) -> ListedPart:
    if type(given) is not dict:
        raise schema.mistyped("parts", given)
    values = schema.bind(PART, given)
    return ListedPart(values["part_number"], values["etag"].strip('"'))


def _part(*, part_number: int, etag: str) -> None:
    """The fields of a part."""


PART = schema.fields_of(_part)


def read(request: HttpRequest, asked: Any, *, limit: int) -> Any:
    return asked(**schema.bind(schema.fields_of(asked), read_object(request, limit)))


def place_of(path: str, local: str) -> tuple[Place, str]:
    """Return the place of a file, by its folder's and its sender's local path.

    And the place as text, which is the same for whoever completes the upload.
    """
    place_below_root(path).folder  # noqa: B018 - raises InvalidInput
    location = f"{path.removesuffix('/')}/{SEPARATORS.split(local)[-1]}"
    place = place_below_root(location)
    place.key  # noqa: B018 - raises InvalidInput
    return place, location


# Begin, complete, give up


@streaming(POST=Permission.ARTIFACTS_WRITE)
def create(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponse:
    with entrance.admitted() as project:
        local, count = read(request, asked_to_create, limit=MAX_BODY_BYTES)
        place, location = place_of(path, local)
        holder_of(project, place).refuse_deleted()
    upload = uuid7()
    reference = uploads.stage(upload)
    with entrance.admitted() as project:
        holder_of(project, place).refuse_deleted()
        row = uploads.begin_upload(
            project,
            upload=upload,
            location=location,
            part_count=count,
            reference=reference,
        )
    base = request.build_absolute_uri(request.path.removesuffix(f"create/{path}"))
    return reply(
        {"upload_id": row.pk.hex, "credentials": list(credentials_of(row, base))}
    )


def credentials_of(upload: MultipartUpload, base: str) -> Iterator[dict[str, Any]]:
    for number in range(1, upload.part_count + 1):
        url = part_url(upload, number, base)
        yield {"part_number": number, "url": url, "headers": {}}


def part_url(upload: MultipartUpload, number: int, base: str) -> str:
    store = direct_store()
    if store and upload.reference:
        return store.part_url(
            upload.pk, upload.reference, number, seconds=settings.SIGNED_URL_SECONDS
        )
    grant = PartGrant(
        upload.organization_id, upload.pk, number, settings.MAX_PART_BYTES
    )
    return f"{base}parts/{upload.pk.hex}/{number}?grant={grant.sign()}"


@streaming(POST=Permission.ARTIFACTS_WRITE)
def complete(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponse:
    with entrance.admitted():
        pass  # the list of parts may be long, and its sender slow
    local, upload_id, listed = read(request, asked_to_complete, limit=MAX_LIST_BYTES)
    place, location = place_of(path, local)
    with entrance.admitted() as project:
        holder_of(project, place).refuse_deleted()
        upload = uploads.find_upload(project, upload_id, location=location)
        arrived = uploads.arrived_parts(upload)
    if upload.completed_at is None:
        blob = uploads.join(upload, listed, arrived)
        with entrance.admitted() as project:
            if uploads.claim_completion(upload):
                holder_of(project, place).attach(place.key, blob)
            else:  # completed by the same request, sent twice; or else given up
                uploads.find_upload(project, upload_id, location=location)
        uploads.drop_bytes(upload)
    return reply(None)


@streaming(POST=Permission.ARTIFACTS_WRITE)
def abort(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponse:
    with entrance.admitted() as project:
        local, upload_id = read(request, asked_to_abort, limit=MAX_BODY_BYTES)
        place, location = place_of(path, local)
        holder_of(project, place)
        upload = uploads.find_upload(project, upload_id, location=location)
        uploads.abort_upload(upload)
    uploads.drop_bytes(upload)
    return reply(None)


# One part, by a signed URL or with a token


@streaming(PUT=Permission.ARTIFACTS_WRITE)
def part(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponse:
    upload_id, text = entrance.names["upload"], entrance.names["number"]
    signed = request.GET.get("grant")
    grant = None if signed is None else read_grant(signed, upload_id, text)
    max_bytes = grant.max_bytes if grant else settings.MAX_PART_BYTES
    with let_in(entrance, grant) as project:
        number = int(text) if text.isascii() and text.isdecimal() else 0
        upload = uploads.find_open(upload_id, number, project)
        body = upload_of(request, max_bytes=max_bytes)
    stored = put_part(upload.pk, number, body, max_bytes=max_bytes)
    with let_in(entrance, grant) as project:
        uploads.record_part(uploads.find_open(upload_id, number, project), stored)
    response = reply(None)
    response["ETag"] = f'"{stored.sha256}"'
    return response


@contextmanager
def let_in(entrance: Entrance, grant: PartGrant | None) -> Iterator[Project | None]:
    """Admit by the URL alone: then the upload says itself which project it is of."""
    if grant is None:
        with entrance.admitted() as project:
            yield project
        return
    bearer = Actor("anonymous", label="part", organization_id=grant.organization)
    request_line = line_of(entrance.request)
    with turns.held():
        with tenant_transaction(bearer, request_line=request_line):
            yield None
        if not connection.in_atomic_block:
            connection.close()


# Downloads


@streaming(GET=Permission.ARTIFACTS_READ)
def presigned(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponseBase:
    """Say where the store itself has the file; its digest is in the head."""
    with entrance.admitted() as project:
        place = place_below_root(path)
        key = place.key
        blob = find_file(holder_of(project, place).package, key)
    store = direct_store()
    if store is None:
        raise Unsupported(NO_DOWNLOAD)
    url = store.download_url(
        blob_name(project.organization_id, blob.sha256),
        filename=key.name,
        seconds=settings.SIGNED_URL_SECONDS,
    )
    response = reply({"url": url, "headers": {}, "file_size": blob.size_bytes})
    response["ETag"] = f'"{blob.sha256}"'
    response["Repr-Digest"] = digest_header(blob.sha256)
    return response


# MLflow offers these for stores that clients use by themselves. Ours stand behind this
# server, and it says so in MLflow's words.


@endpoint("POST", "artifacts/presigned-upload-url", needs=Permission.ARTIFACTS_WRITE)
def presigned_upload_url(
    project: Project, *, path: str, run_id: str = "", model_id: str = ""
) -> None:
    if bool(run_id) == bool(model_id):
        raise InvalidInput("Exactly one of run_id and model_id must be provided.")
    refuse_proxied(project, Place(run_id, path, model_id=model_id), "upload")


@endpoint("POST", "artifacts/presigned-download-url", needs=Permission.ARTIFACTS_READ)
def presigned_download_url(project: Project, *, run_id: str, path: str) -> None:
    refuse_proxied(project, Place(run_id, path), "download")


def refuse_proxied(project: Project, place: Place, noun: str) -> NoReturn:
    """Raises InvalidInput, or NotFound to whom the place is unknown."""
    place.key  # noqa: B018 - raises InvalidInput
    holder_of(project, place)
    raise InvalidInput(
        f"Presigned {noun} is not supported for proxied artifact storage (artifact URI"
        " scheme: mlflow-artifacts). This endpoint requires a direct cloud storage"
        " artifact URI."
    )


# Routes

PROXY = "2.0/mlflow-artifacts"
urlpatterns = []
for _api in ("api", "ajax-api"):
    urlpatterns += [
        route(f"{_api}/{PROXY}/mpu/create/<everything:path>", create),
        route(f"{_api}/{PROXY}/mpu/complete/<everything:path>", complete),
        route(f"{_api}/{PROXY}/mpu/abort/<everything:path>", abort),
        route(f"{_api}/{PROXY}/mpu/parts/<str:upload>/<str:number>", part),
        route(f"{_api}/{PROXY}/presigned/<everything:path>", presigned),
    ]

"""Artifacts: files of runs and logged models, as MLflow's client and UI see them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path as route
from django.urls import register_converter
from django.urls.converters import StringConverter

from mlops.api.parsing import read_query
from mlops.errors import InvalidInput, NotFound
from mlops.streams import Download, download_response, upload_of
from registry.mlflow.endpoint import endpoint, reply
from registry.mlflow.holders import holder_of
from registry.mlflow.places import (
    Place,
    place_below_root,
    place_in_model,
    place_in_run,
)
from registry.mlflow.streaming import Entrance, streaming
from registry.models import PackageFile
from registry.services.downloads import note_download
from registry.services.packages import refuse_upload
from registry.sql import packages as sql
from registry.sql.folders import list_folder
from registry.storage import ArtifactKey, BlobStream, StoredBlob, open_blob, put_blob
from tenants.callers import Caller
from tenants.permissions import Permission

# What the web UI sends in one piece; MLflow has the same bound.
MAX_UI_BYTES = 10 * 1024 * 1024


@streaming(
    GET=Permission.ARTIFACTS_READ,
    PUT=Permission.ARTIFACTS_WRITE,
    DELETE=Permission.ARTIFACTS_DELETE,
)
def artifact(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponseBase:
    locate = partial(place_below_root, path)
    match request.method:
        case "PUT":
            upload(request, entrance, locate, settings.MAX_ARTIFACT_BYTES)
            return HttpResponse(content_type="text/plain")
        case "DELETE":
            return remove(entrance, locate)
    return download(request, entrance, locate)


@streaming(GET=Permission.ARTIFACTS_READ)
def get_artifact(
    request: HttpRequest, entrance: Entrance, path: str
) -> HttpResponseBase:
    return download(request, entrance, partial(place_in_run, request))


@streaming(GET=Permission.ARTIFACTS_READ)
def model_file(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponseBase:
    model_id = entrance.names["model_id"]
    return download(request, entrance, partial(place_in_model, request, model_id))


@streaming(POST=Permission.ARTIFACTS_WRITE)
def upload_artifact(
    request: HttpRequest, entrance: Entrance, path: str
) -> HttpResponseBase:
    upload(request, entrance, partial(place_in_run, request), MAX_UI_BYTES)
    return HttpResponse(content_type="application/json")


# A path is read when its sender is known, so `locate` comes as a function: whoever has
# no credentials hears of nothing else.

Locate = Callable[[], Place]


def upload(
    request: HttpRequest, entrance: Entrance, locate: Locate, max_bytes: int
) -> None:
    with entrance.admitted() as project:
        place = locate()
        key = place.key
        holder = holder_of(project, place)
        holder.refuse_deleted()
        body = upload_of(request, max_bytes=max_bytes)
        refuse_upload(
            project,
            holder.package,
            key,
            body.size_bytes or 0,
            is_limited=holder.is_limited,
        )
    blob = put_blob(
        project.organization_id,
        body.source,
        max_bytes=max_bytes,
        expected_bytes=body.size_bytes,
        expected_sha256=body.sha256,
    )
    with entrance.admitted() as project:
        holder_of(project, place).attach(key, blob)


def download(
    request: HttpRequest, entrance: Entrance, locate: Locate
) -> HttpResponseBase:
    with entrance.admitted() as project:
        place = locate()
        key = place.key
        package = holder_of(project, place).package
        blob = find_file(package, key)
    if package and request.method == "GET":
        note_download(project.organization_id, package)
    read = partial(read_blob, project.organization_id, blob)
    return download_response(
        request, Download(key.name, blob.size_bytes, blob.sha256, read)
    )


def read_blob(
    organization: UUID, blob: StoredBlob, start: int, length: int
) -> BlobStream:
    file = open_blob(organization, blob)
    return BlobStream(
        file,
        start=start,
        length=length,
        sha256=blob.sha256,
        organization=organization,
    )


def remove(entrance: Entrance, locate: Locate) -> HttpResponse:
    with entrance.admitted() as project:
        place = locate()
        key = place.key
        holder_of(project, place).remove(key)
    return reply(None)


# Lists


@endpoint("GET", "artifacts/list", needs=Permission.ARTIFACTS_READ)
def list_in_run(caller: Caller, *, run_id: str, path: str = "") -> bytes:
    place = Place(run_id, path)
    return sql.list_artifacts(caller, run_id, place.folder)


@streaming(GET=Permission.ARTIFACTS_READ)
def list_below_root(
    request: HttpRequest, entrance: Entrance, path: str
) -> HttpResponseBase:
    caller = entrance.caller()
    try:
        place = place_below_root(read_query(request).get("path", ""))
        folder = place.folder
    except InvalidInput:
        # Only who may come in is told what is wrong with a request.
        caller.check()
        raise
    if place.model_id:
        with entrance.admitted() as project:
            files = list_folder(project, holder_of(project, place).package, folder)
        return reply(b'{"files":[%b]}' % files if files else None)
    return reply(
        sql.list_artifacts(caller, place.run_id, folder, experiment=place.experiment)
    )


# Rows


def find_file(package: UUID | None, key: ArtifactKey) -> StoredBlob:
    """Raises NotFound, or InvalidInput for a folder."""
    missing = NotFound(f"No such artifact: '{key}'")
    if package is None:
        raise missing
    files = PackageFile.objects.filter(package_id=package)
    row = files.filter(path=key.path).values_list("sha256", "size_bytes").first()
    if row:
        return StoredBlob(*row)
    if files.filter(path__startswith=f"{key}/").exists():
        raise InvalidInput(f"'{key}' is a folder; download its files one by one.")
    raise missing


# Routes


class EverythingConverter(StringConverter):
    """A path may hold anything, line ends and nothing at all included."""

    regex = r"[\s\S]*"


register_converter(EverythingConverter, "everything")

ARTIFACTS = "2.0/mlflow-artifacts/artifacts"
# Below each mount: the root, where the token says which project is meant, and
# mlflow/<organization>/<project>/.
urlpatterns = [
    route("get-artifact", get_artifact),
    route("ajax-api/2.0/mlflow/upload-artifact", upload_artifact),
    route(
        "ajax-api/2.0/mlflow/logged-models/<str:model_id>/artifacts/files", model_file
    ),
]
for _api in ("api", "ajax-api"):
    urlpatterns += [
        route(f"{_api}/{ARTIFACTS}/<everything:path>", artifact),
        route(f"{_api}/{ARTIFACTS}", list_below_root),
    ]

"""Files of packages by name, and packages as archives: bytes that flow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import partial
from uuid import UUID

from django.conf import settings
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    QueryDict,
    StreamingHttpResponse,
)
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header, parse_etags

from mlops.archives import Entry, zipped
from mlops.errors import InvalidInput
from mlops.streams import (
    HARMLESS,
    Download,
    checked_sha256,
    digest_header,
    download_response,
    upload_of,
)
from registry.api.serializers import PushedFileSerializer
from registry.models import Package, PackageStatus, PackageType
from registry.services import pushes
from registry.services.downloads import note_download
from registry.services.packages import FileRow, files_below, remove_file
from registry.services.pushes import PUSHED_STATUSES, PUSHED_TYPES, Push
from registry.storage import ArtifactKey, BlobStream, StoredBlob, open_blob, put_blob
from tenants.api.streams import known_query, streaming
from tenants.permissions import Permission
from tenants.streaming import Entrance

PUSH_PARAMETERS = {"type", "status", "sha256"}


@streaming(
    GET=Permission.ARTIFACTS_READ,
    PUT=Permission.ARTIFACTS_WRITE,
    DELETE=Permission.ARTIFACTS_DELETE,
)
def package_file(
    request: HttpRequest, entrance: Entrance, path: str
) -> HttpResponseBase:
    match request.method:
        case "PUT":
            return push(request, entrance, path)
        case "DELETE":
            return remove(request, entrance, path)
    return download(request, entrance, path)


@streaming(GET=Permission.ARTIFACTS_READ)
def archive(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponseBase:
    """All files of a package, or of one folder, as a zip."""
    with entrance.admitted() as project:
        folder = folder_of(known_query(request, {"folder"}))
        package = (
            Package.objects.live().in_project(project.pk).fetch(pk=entrance.names["pk"])
        )
        files = files_below(package, folder)
        note_download(package.organization_id, package.pk)
    return archive_response(request, package, folder, files)


# One file


def push(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponse:
    with entrance.admitted() as project:
        query = known_query(request, PUSH_PARAMETERS)
        asked = push_of(request, entrance, path, query)
        body = upload_of(
            request,
            max_bytes=settings.MAX_ARTIFACT_BYTES,
            sha256=checked_sha256("sha256", query.get("sha256")),
        )
        pushes.refuse_in_vain(
            project, asked, size_bytes=body.size_bytes, sha256=body.sha256
        )
    blob = put_blob(
        project.organization_id,
        body.source,
        max_bytes=settings.MAX_ARTIFACT_BYTES,
        expected_bytes=body.size_bytes,
        expected_sha256=body.sha256,
    )
    with entrance.admitted() as project:
        pushed = pushes.store_push(project, asked, blob)
    return pushed_response(request, pushed)


def push_of(
    request: HttpRequest, entrance: Entrance, path: str, query: QueryDict
) -> Push:
    kind, status = query.get("type"), query.get("status")
    if kind is not None and kind not in (*PUSHED_TYPES, PackageType.CANDIDATE):
        raise InvalidInput(f"type={kind[:50]!r}: use {' or '.join(PUSHED_TYPES)}.")
    if status is not None and status not in PUSHED_STATUSES:
        raise InvalidInput(
            f"status={status[:50]!r}: use {' or '.join(PUSHED_STATUSES)}."
        )
    return Push(
        entrance.names["name"],
        entrance.names["version"],
        ArtifactKey(path),
        kind=PackageType(kind) if kind else None,
        status=PackageStatus(status) if status else None,
        match=tags_of(request, "If-Match"),
        none_match=tags_of(request, "If-None-Match"),
    )


def tags_of(request: HttpRequest, header: str) -> tuple[str, ...]:
    """Raises InvalidInput for a condition that says nothing that could be met."""
    text = request.headers.get(header)
    if text is None:
        return ()
    if not (tags := tuple(parse_etags(text))):
        raise InvalidInput(
            f"{header}={text[:70]!r}: send * or tags in quotation marks."
        )
    return tags


def pushed_response(request: HttpRequest, pushed: pushes.Pushed) -> HttpResponse:
    answer = PushedFileSerializer(pushed).data
    response = JsonResponse(answer, status=201 if pushed.is_new else 200)
    response["ETag"] = f'"{pushed.file.sha256}"'
    response["Repr-Digest"] = digest_header(pushed.file.sha256)
    response["Cache-Control"] = "no-store"
    if pushed.is_new:
        response["Location"] = request.build_absolute_uri(request.path)
    return response


def download(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponseBase:
    with entrance.admitted() as project:
        known_query(request, set())
        key = ArtifactKey(path)
        names = entrance.names
        package, file = pushes.fetch_file(project, names["name"], names["version"], key)
    if request.method == "GET":
        note_download(package.organization_id, package.pk)
    read = partial(read_blob, package.organization_id, file.sha256, file.size_bytes)
    return download_response(
        request, Download(key.name, file.size_bytes, file.sha256, read)
    )


def remove(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponse:
    with entrance.admitted() as project:
        known_query(request, set())
        names = entrance.names
        key = ArtifactKey(path)
        package, file = pushes.fetch_file(project, names["name"], names["version"], key)
        remove_file(package, file)
    return HttpResponse(status=204, headers={"Cache-Control": "no-store"})


def read_blob(
    organization: UUID, sha256: str, size_bytes: int, start: int, length: int
) -> BlobStream:
    file = open_blob(organization, StoredBlob(sha256, size_bytes))
    return BlobStream(
        file,
        start=start,
        length=length,
        sha256=sha256,
        organization=organization,
    )


# A package or a folder


def archive_response(
    request: HttpRequest, package: Package, folder: str, files: list[FileRow]
) -> HttpResponseBase:
    tag = tag_of(files)
    if answer := get_conditional_response(request, etag=tag):
        return dressed(answer, package, folder, tag)
    if request.method == "HEAD":
        return dressed(HttpResponse(), package, folder, tag)
    entries = entries_of(package.organization_id, folder, files)
    return dressed(StreamingHttpResponse(zipped(entries)), package, folder, tag)


def entries_of(
    organization: UUID, folder: str, files: Iterable[FileRow]
) -> Iterator[Entry]:
    """Below the folder that was asked for, paths begin where it begins."""
    above = folder.rpartition("/")[0]
    for file in files:
        yield Entry(
            file.path.removeprefix(f"{above}/") if above else file.path,
            file.size_bytes,
            file.updated_at,
            partial(
                read_blob,
                organization,
                file.sha256,
                file.size_bytes,
                0,
                file.size_bytes,
            ),
        )


def tag_of(files: Iterable[FileRow]) -> str:
    """The archive is what its files are, and when they came."""
    digest = hashlib.sha256()
    for file in files:
        line = f"{file.path}\n{file.sha256}\n{file.updated_at.isoformat()}\n"
        digest.update(line.encode())
    return f'"{digest.hexdigest()}"'


def dressed(
    response: HttpResponseBase, package: Package, folder: str, tag: str
) -> HttpResponseBase:
    for name, value in HARMLESS.items():
        response[name] = value
    # Its length is not known before, so there are no parts of it.
    response["Accept-Ranges"] = "none"
    response["ETag"] = tag
    response["Content-Type"] = "application/zip"
    version = "" if package.version == "-" else f"-{package.version}"
    inner = f"-{folder.rpartition('/')[2]}" if folder else ""
    name = f"{package.name}{version}{inner}.zip"
    response["Content-Disposition"] = content_disposition_header(True, name) or ""
    return response


# Queries


def folder_of(query: QueryDict) -> str:
    """The root where nothing is said; "a/" is folder "a"."""
    folder = query.get("folder", "").removesuffix("/")
    return ArtifactKey(folder).path if folder else ""

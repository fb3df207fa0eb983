"""The trail as a file, by REST."""

from __future__ import annotations

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.utils.http import content_disposition_header

from audit.exports import Export
from audit.lines import FORMATS
from audit.selections import Selection
from mlops.errors import InvalidInput
from mlops.streams import HARMLESS
from tenants.api.streams import known_query, streaming
from tenants.models import Organization, Project
from tenants.permissions import Permission
from tenants.streaming import Entrance

PARAMETERS = {"format", *Selection.base_filters}


@streaming(GET=Permission.AUDIT_READ)
def export(request: HttpRequest, entrance: Entrance, path: str) -> HttpResponseBase:
    with entrance.admitted() as project:
        values = asked(request)
    written = values.pop("format", "jsonl")
    running = Export(entrance.admitted, values, written)
    if request.method == "HEAD":
        return dressed(HttpResponse(), written, entrance)
    running.start(
        using="default", owner=str(project.organization_id), target=target_of(project)
    )
    return dressed(StreamingHttpResponse(running), written, entrance)


def asked(request: HttpRequest) -> dict[str, str]:
    query = known_query(request, PARAMETERS)
    values = {name: str(query[name]) for name in query}
    for name, value in values.items():
        if not value:
            raise InvalidInput(f"{name}='' is empty; leave it out or say a value.")
    return values


def target_of(project: Project) -> Project | Organization:
    """What is exported; below an organization's address there is no project."""
    if project.slug:
        return project
    return Organization(pk=project.organization_id)


def dressed(
    response: HttpResponseBase, written: str, entrance: Entrance
) -> HttpResponseBase:
    for name, value in HARMLESS.items():
        response[name] = value
    # Its length is not known before, so there are no parts of it.
    response["Accept-Ranges"] = "none"
    response["Cache-Control"] = "no-store"
    response["Content-Type"] = FORMATS[written].media_type
    name = f"{'-'.join(['audit-logs', *entrance.names.values()])}.{written}"
    response["Content-Disposition"] = content_disposition_header(True, name) or ""
    return response

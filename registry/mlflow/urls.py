"""MLflow's routes below one mount: 2.0 and 3.0, for clients (api) and UI (ajax-api).

Mounted twice: at the root, where the token says which project is meant, and at
mlflow/<organization>/<project>/. The web UI calls the same paths as the client.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path

from registry.mlflow.endpoint import View, views
from registry.mlflow.errors import EndpointNotFound, refuse
from registry.mlflow.views import (
    artifacts,
    evaluation_datasets,
    experiments,
    graphql,
    inputs,
    logged_models,
    metrics,
    models,
    multipart,
    runs,
    server,
    versions,
    workspaces,
)
from tenants.permissions import Permission

# Importing these registers their endpoints.
REGISTERED = (
    evaluation_datasets,
    experiments,
    inputs,
    logged_models,
    metrics,
    models,
    runs,
    server,
    versions,
    workspaces,
)
VERSIONS = ("2.0", "3.0")


def unknown(request: HttpRequest, **names: Any) -> HttpResponse:
    return refuse(request, EndpointNotFound(f"No endpoint at {request.path[:250]}."))


# A stranger is not told which endpoints there are: all of them answer 401.
unknown.needs = Permission.ORGANIZATION_READ  # type: ignore[attr-defined]
unknown.refuse = refuse  # type: ignore[attr-defined]
unknown.csrf_exempt = True  # type: ignore[attr-defined]


def routes(found: Mapping[str, View]) -> list[URLPattern | URLResolver]:
    """One route per path, by first segment: a request is compared with few of them."""
    by_segment: dict[str, list[URLPattern]] = defaultdict(list)
    for name, view in found.items():
        segment, slash, rest = name.partition("/")
        by_segment[segment + slash].append(path(rest, view))
    return [path(segment, include(found)) for segment, found in by_segment.items()]


def below_each_prefix(
    found: list[URLPattern | URLResolver],
) -> list[URLPattern | URLResolver]:
    return [
        path(f"{api}/{version}/mlflow/", include(found))
        for version in VERSIONS
        for api in ("api", "ajax-api")
    ]


of_projects, of_organizations = views()

# At the root alone: the address of a project leads to no other workspace.
root_urlpatterns = below_each_prefix(routes(of_organizations))
urlpatterns: list[URLPattern | URLResolver] = [
    # The busiest first; what answers everything else comes last.
    *below_each_prefix(routes(of_projects)),
    *artifacts.urlpatterns,
    *multipart.urlpatterns,
    *below_each_prefix([path("<path:rest>", unknown)]),
    path("graphql", graphql.serve),
    path("health", server.health),
    path("version", server.version),
]

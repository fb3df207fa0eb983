"""GraphQL for MLflow's web UI: its fields are answered by the endpoints themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponse
from graphql import GraphQLResolveInfo

from registry.mlflow import graphql, registry_wire, wire
from registry.mlflow.endpoint import ENDPOINTS, Endpoint, project_of, read_object, reply
from registry.mlflow.errors import MethodNotAllowed, refuse
from registry.mlflow.graphql_schema import resolves
from registry.mlflow.schema import bind, missing, mistyped
from registry.models import Experiment, ModelVersion
from registry.search.fields import VERSIONS
from registry.search.searches import Search
from tenants.callers import Caller, caller_of
from tenants.context import Actor, acting
from tenants.models import Project
from tenants.permissions import Permission, demand

MAX_BODY_BYTES = 256 * 1024
OF_QUERY = {
    "mlflowGetExperiment": ("GET", "experiments/get"),
    "mlflowGetMetricHistoryBulkInterval": ("GET", "metrics/get-history-bulk-interval"),
    "mlflowListArtifacts": ("GET", "artifacts/list"),
    "mlflowSearchModelVersions": ("GET", "model-versions/search"),
}
OF_MUTATION = {"mlflowSearchDatasets": ("POST", "experiments/search-datasets")}
# Those whose runs also tell of their experiments and of what was registered from them.
WITH_RUNS = {
    "mlflowGetRun": ("GET", "runs/get"),
    "mlflowSearchRuns": ("POST", "runs/search"),
}


@dataclass(frozen=True)
class Asking:
    """Who asks: what the endpoints want to know of a caller."""

    project: Project
    actor: Actor
    caller: Caller

    def ask(self, method: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
        """Run the endpoint's one function, if the caller may.

        What an endpoint answers by a statement of its own admits its caller again.
        """
        each = endpoint_at(method, path)
        arguments = bind(each.fields, given)
        if each.context is Caller:
            caller = replace(self.caller, permission=each.needs)
            answer = each.function(caller, **arguments)
        else:
            demand(self.actor, each.needs, path)
            answer = each.function(self.project, **arguments)
        return orjson.loads(answer) if isinstance(answer, bytes) else answer


@cache
def endpoint_at(method: str, path: str) -> Endpoint:
    (found,) = (
        each for each in ENDPOINTS if (each.method, each.path) == (method, path)
    )
    return found


class RunPage:
    """What belongs to the runs of one field, read for all of them when one is asked."""

    def __init__(self, asking: Asking, runs: list[dict[str, Any]]) -> None:
        self.asking = asking
        self.infos = [run["info"] for run in runs]

    @cached_property
    def experiments(self) -> dict[str, dict[str, Any]]:
        """Experiments by number: 2 statements."""
        numbers = {int(info["experiment_id"]) for info in self.infos}
        rows = Experiment.objects.with_deleted().in_project(self.asking.project.pk)
        rows = rows.filter(iid__in=numbers).prefetch_related("tags")
        return {str(row.iid): wire.experiment(row) for row in rows}

    @cached_property
    def versions(self) -> dict[str, list[dict[str, Any]]]:
        """Versions by run id, in the order of a search for them: 3 statements."""
        needed = Permission.REGISTRY_READ
        demand(self.asking.actor, needed, "modelVersions of a run")
        runs = [UUID(info["run_id"]) for info in self.infos]
        rows = ModelVersion.objects.in_project(self.asking.project.pk)
        rows = rows.select_related("registered_model").filter(run_id__in=runs)
        rows = rows.prefetch_related("tags", "aliases")
        found = defaultdict(list)
        for row in Search.of(VERSIONS).apply(rows):
            version = registry_wire.model_version(row.registered_model.name, row)
            found[version["run_id"]].append(version)
        return found


# Resolvers


def answered(method: str, path: str) -> Callable[..., Any]:
    def resolve(_root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        return ask(info, method, path, arguments)

    return resolve


def answered_with_runs(method: str, path: str) -> Callable[..., Any]:
    def resolve(_root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        found = ask(info, method, path, arguments)
        runs = [found["run"]] if "run" in found else found.get("runs", [])
        page = RunPage(info.context, runs)
        for run in runs:
            run["page"] = page
        return found

    return resolve


def ask(
    info: GraphQLResolveInfo, method: str, path: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    asking: Asking = info.context
    return asking.ask(method, path, arguments.get("input") or {})


def experiment_of(run: dict[str, Any], info: GraphQLResolveInfo) -> Any:
    return run["page"].experiments.get(run["info"]["experiment_id"])


def versions_of(run: dict[str, Any], info: GraphQLResolveInfo) -> Any:
    return run["page"].versions.get(run["info"]["run_id"], ())


def echo(_root: Any, info: GraphQLResolveInfo, **arguments: Any) -> dict[str, Any]:
    """Serve as a sign of life, which MLflow's own tests ask for."""
    if arguments.get("inputString") is None:
        raise missing("inputString")
    return {"output": arguments["inputString"]}


for _name, _endpoint in OF_QUERY.items():
    resolves("Query", _name, answered(*_endpoint))
for _name, _endpoint in OF_MUTATION.items():
    resolves("Mutation", _name, answered(*_endpoint))
for _name, _endpoint in WITH_RUNS.items():
    resolves("Query", _name, answered_with_runs(*_endpoint))
resolves(
    "Mutation", "mlflowSearchRuns", answered_with_runs(*WITH_RUNS["mlflowSearchRuns"])
)
resolves("MlflowRunExtension", "experiment", experiment_of)
resolves("MlflowRunExtension", "modelVersions", versions_of)
resolves("Query", "test", echo)


# The view


def serve(request: HttpRequest, **names: str) -> HttpResponse:
    """Answer one query: a list of them is no request."""
    if request.method != "POST":
        raise MethodNotAllowed(request.method or "", ["POST"])
    given = read_object(request, MAX_BODY_BYTES)
    query, variables = given.get("query"), given.get("variables")
    operation = given.get("operationName")
    if query is None or query == "":
        raise missing("query")
    for name, value, kind in (
        ("query", query, str),
        ("variables", variables, dict),
        ("operationName", operation, str),
    ):
        if value is not None and type(value) is not kind:
            raise mistyped(name, value)
    answer = graphql.answer(
        query,
        variables=variables,
        operation=operation,
        context=asking_of(request, names),
        shows_schema=is_by_staff(request),
    )
    return reply(answer)


def is_by_staff(request: HttpRequest) -> bool:
    """A request by token has no user."""
    return bool(getattr(getattr(request, "user", None), "is_staff", False))


def asking_of(request: HttpRequest, names: dict[str, str]) -> Asking:
    caller = caller_of(request, Permission.TRACKING_READ, names)
    return Asking(project_of(request), acting(), caller)


serve.needs = {"POST": Permission.TRACKING_READ}  # type: ignore[attr-defined]
serve.otherwise = Permission.TRACKING_READ  # type: ignore[attr-defined]
serve.throttle = "organization"  # type: ignore[attr-defined]
serve.refuse = refuse  # type: ignore[attr-defined]
serve.csrf_exempt = True  # type: ignore[attr-defined]

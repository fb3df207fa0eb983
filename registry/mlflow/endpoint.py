"""The decorator of every endpoint: its typed signature is the schema of the request.

    @endpoint("POST", "experiments/update", needs="tracking:write")
    def update_experiment(project: Project, *, experiment_id: str, new_name: str) -> …

A parameter without a default is required; what is missing or of another type answers
MLflow's words. The first parameter says how the caller is let in: a `Project` by the
middleware, in the request's transaction, and an `Actor` likewise where an organization
is all that is meant; a `Caller` by the view's own statement (hot); none at all, and the
endpoint is public. What is returned is the answer: None is `{}`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from mlops.api.exceptions import domain_error
from mlops.api.parsing import (
    MAX_BODY_BYTES,
    content_length,
    parse_json,
    read_body,
    read_query,
)
from mlops.errors import DomainError, InvalidInput
from registry.mlflow.errors import MethodNotAllowed, refuse
from registry.mlflow.schema import Field, bind, context_of, fields_of
from tenants.callers import Caller, caller_of
from tenants.context import Actor
from tenants.models import Project


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    needs: str
    body_limit: int
    too_large: str
    function: Callable[..., Any]
    context: type | None
    fields: tuple[Field, ...]

    def arguments(
        self, request: HttpRequest, names: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Read the query string or the body; what the address names goes before."""
        given = self._query(request) if self.method == "GET" else self._body(request)
        return bind(self.fields, {**given, **names} if names else given)

    def _query(self, request: HttpRequest) -> dict[str, Any]:
        """Take the first of a repeated parameter, and all of a list."""
        query = read_query(request)
        given: dict[str, Any] = {name: values[0] for name, values in query.lists()}
        for field in self.fields:
            if field.is_list and field.name in given:
                given[field.name] = query.getlist(field.name)
        return given

    def _body(self, request: HttpRequest) -> dict[str, Any]:
        if self.method == "DELETE" and says_nothing(request):
            # What is to be deleted may stand in the address alone.
            return self._query(request)
        return read_object(request, self.body_limit, too_large=self.too_large)


def read_object(
    request: HttpRequest, limit: int, *, too_large: str = ""
) -> dict[str, Any]:
    """Read a body that is a JSON object, or nothing at all."""
    if not request.content_type:
        raise InvalidInput("Bad Request. Content-Type header is missing.")
    if request.content_type != "application/json":
        raise InvalidInput(
            "Bad Request. Content-Type must be one of ['application/json']."
        )
    size = content_length(request.META)
    if too_large and size > limit:
        raise InvalidInput(too_large.format(limit=limit, size=size))
    body = read_body(request, limit)
    given = parse_json(body) if body else {}
    if type(given) is not dict:
        raise InvalidInput("The request body must be a JSON object.")
    return given


ENDPOINTS: list[Endpoint] = []


def endpoint(
    method: str,
    path: str,
    *,
    needs: str = "",
    body_limit: int = MAX_BODY_BYTES,
    too_large: str = "",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the function; `path` is what stands behind `…/2.0/mlflow/`.

    A larger body answers 413, or 400 with the words of `too_large`, with {limit} and
    {size} in them, where MLflow has its own.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        ENDPOINTS.append(
            Endpoint(
                method,
                path,
                needs,
                body_limit,
                too_large,
                function,
                context_of(function),
                fields_of(function),
            )
        )
        return function

    return register


# Views


View: TypeAlias = Callable[..., HttpResponseBase]


def views() -> tuple[dict[str, View], dict[str, View]]:
    """Make one view per path from all that are registered by now.

    First those of a project, then those of an organization.
    """
    by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for each in ENDPOINTS:
        by_path[each.path][each.method] = each
    found: tuple[dict[str, View], dict[str, View]] = ({}, {})
    for path, methods in by_path.items():
        is_wide = next(iter(methods.values())).context is Actor
        found[is_wide][path] = view_of(methods)
    return found


def view_of(methods: dict[str, Endpoint]) -> Callable[..., HttpResponseBase]:
    """Join the methods of a path; all of them must let their callers in alike."""
    (context,) = {each.context for each in methods.values()}

    def view(request: HttpRequest, **names: Any) -> HttpResponseBase:
        method = method_of(request)
        if method in methods:
            return serve(methods[method], request, names)
        error = MethodNotAllowed(method, [*methods])
        if context is Caller:
            return refuse(request, for_callers_only(request, otherwise, names, error))
        return refuse(request, error)

    serve = SERVING[context]
    otherwise = next(iter(methods.values())).needs
    view.csrf_exempt = True  # type: ignore[attr-defined]
    view.throttle = "organization"  # type: ignore[attr-defined]
    view.refuse = refuse  # type: ignore[attr-defined]
    view.needs = {name: each.needs for name, each in methods.items()}  # type: ignore[attr-defined]
    view.otherwise = otherwise  # type: ignore[attr-defined]
    if context is Caller:
        view.transaction = "manual"  # type: ignore[attr-defined]
    elif context is None:
        view.public = True  # type: ignore[attr-defined]
    return view


def for_callers_only(
    request: HttpRequest, needs: str, names: Mapping[str, Any], error: DomainError
) -> DomainError:
    """Return the error for whoever may come in, and for others why they may not."""
    try:
        caller_of(request, needs, names).check()
    except Exception as refusal:
        known = domain_error(refusal)
        if known is None:
            raise
        return known
    return error


def says_nothing(request: HttpRequest) -> bool:
    return not request.content_type and content_length(request.META) == 0


def method_of(request: HttpRequest) -> str:
    return "GET" if request.method == "HEAD" else request.method or ""


def serve_project(
    each: Endpoint, request: HttpRequest, names: Mapping[str, Any]
) -> HttpResponse:
    """Run inside the middleware's transaction; it answers what is raised here."""
    arguments = each.arguments(request, names)
    return reply(each.function(project_of(request), **arguments))


def project_of(request: HttpRequest) -> Project:
    """Return the project that the middleware has bound, without asking for it."""
    actor = request.actor  # type: ignore[attr-defined]
    return Project(
        id=actor.project_id, organization_id=actor.organization_id, slug=actor.project
    )


def serve_actor(
    each: Endpoint, request: HttpRequest, names: Mapping[str, Any]
) -> HttpResponse:
    """Run inside the middleware's transaction, for the whole of the organization."""
    actor = request.actor  # type: ignore[attr-defined]
    return reply(each.function(actor, **each.arguments(request, names)))


def serve_caller(
    each: Endpoint, request: HttpRequest, names: Mapping[str, Any]
) -> HttpResponse:
    """Run the one statement of a hot endpoint, or say why there is no answer."""
    try:
        caller = caller_of(request, each.needs, names)
        try:
            return reply(each.function(caller, **each.arguments(request, names)))
        except InvalidInput:
            # Only who may come in is told what is wrong with a request.
            caller.check()
            raise
    except Exception as error:
        known = domain_error(error)
        if known is None:
            raise
        return refuse(request, known)


def serve_anybody(
    each: Endpoint, request: HttpRequest, names: Mapping[str, Any]
) -> HttpResponse:
    """Answer for itself: no middleware stands between this and the caller."""
    try:
        return reply(each.function(**each.arguments(request, names)))
    except DomainError as error:
        return refuse(request, error)


SERVING: dict[type | None, Callable[..., HttpResponse]] = {
    Project: serve_project,
    Actor: serve_actor,
    Caller: serve_caller,
    None: serve_anybody,
}


def reply(answer: Any) -> HttpResponse:
    """Write what an endpoint returned; bytes are JSON already."""
    if isinstance(answer, HttpResponse):
        return answer
    if answer is None:
        answer = b"{}"
    elif not isinstance(answer, bytes):
        answer = orjson.dumps(answer)
    return HttpResponse(
        answer,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )

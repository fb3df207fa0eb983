"""Requests, made from the URL configuration, that really name what they are about.

MLflow's parameters are filled from an endpoint's typed schema, REST's bodies from the
OpenAPI description, both by name. A name that nothing here knows fails the tests: a new
route is asked about properly, or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db import models as django_models

from registry import models as registry
from registry.mlflow.endpoint import ENDPOINTS, Endpoint
from tenants import models as tenants
from tenants.api.openapi import description
from tests.access.world import ORIGIN, Holding, World
from tests.routes import METHODS, Route, routes

BY_PATH = re.compile(r"^/mlflow/<organization>/<project>(?=/)")
VERSION = re.compile(r"^/(ajax-)?api/[23]\.0/(?=mlflow)")
ADMIN_MODEL = re.compile(
    r"^/admin/(tenants|registry|monitoring|audit|procrastinate|socialaccount)/\w+"
)
PLACES = {"organization", "project"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about: whose names it says, and whose address it goes to."""

    name: str
    organization: str
    project: str
    named: Holding


# Of ids at one's own address, then of addresses; the order of the table's letters.
IDS = ("own", "other", "foreign", "deleted", "random")
ADDRESSES = ("at other", "at foreign", "at theirs", "at gone", "at random")
TARGETS = (*IDS, *ADDRESSES)


def targets(world: World) -> dict[str, Target]:
    own = world.own
    found = [Target(n, own.organization, own.project, getattr(world, n)) for n in IDS]
    for name in ("other", "foreign", "gone", "random"):
        held = getattr(world, name)
        found.append(Target(f"at {name}", held.organization, held.project, held))
    theirs = world.foreign
    found.append(Target("at theirs", own.organization, theirs.project, theirs))
    return {target.name: target for target in found}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request without its credentials; `said` is what an answer may repeat."""

    method: str
    address: str
    body: bytes = b""
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a line of the table: a route, its mount, and a kind of credential."""

    route: Route
    method: str
    mount: str
    credential: str

    @property
    def line(self) -> tuple[str, str]:
        return key_of(self.route), self.method

    @property
    def by_session(self) -> tuple[str, str]:
        """The line for those who signed in where others bring a token."""
        has_both = self.credential == "session" and mounts_of(self.route) != BROWSER
        return key_of(self.route) + SESSION * has_both, self.method

    @property
    def applicable(self) -> tuple[str, ...]:
        """The targets that such a request can name."""
        if self.mount == "workspace" or "project" in self.route.parameters:
            return TARGETS
        if "organization" in self.route.parameters:
            return (*IDS, "at foreign", "at random")
        if self.route.is_public or not (is_mlflow(self.route) or self.route.is_admin):
            return ("own",)
        # The admin's gate looks at nothing but who asks.
        return ("own", "foreign", "random") if self.route.is_admin else IDS

    def __str__(self) -> str:
        return f"{self.method} {self.route} ({self.mount}, {self.credential})"


def key_of(route: Route) -> str:
    """The route without its mount: what must be allowed or refused everywhere alike."""
    template = BY_PATH.sub("", route.template)
    if VERSION.match(template):
        return VERSION.sub("", template)
    if is_mlflow(route):
        return f"mlflow{template}"
    return ADMIN_MODEL.sub("/admin/<model>", template).removeprefix("/")


def is_mlflow(route: Route) -> bool:
    return not route.view_set and route.view.__module__.startswith("registry.mlflow")


def is_in_project(route: Route) -> bool:
    """Workspaces are projects, and therefore in none."""
    is_workspace = "workspaces" in key_of(route)
    return (is_mlflow(route) and not is_workspace) or "project" in route.parameters


BROWSER = [("plain", "session")]
SESSION = "#session"


def ways(every: bool = True) -> Iterator[Way]:
    """Yield each way to each declared method; `every` adds those that none has."""
    for route in routes():
        for method in METHODS if every else declared(route):
            for mount, credential in mounts_of(route):
                yield Way(route, method, mount, credential)


def declared(route: Route) -> list[str]:
    if route.actions:
        return [name.upper() for name in route.actions if name != "head"]
    if isinstance(route.needs, dict):
        return list(route.needs)
    has_forms = route.is_admin or (is_account(route) and route.needs)
    return ["GET", "POST"] if has_forms else ["GET"]


def is_account(route: Route) -> bool:
    """Tell whether it is a page for people who look after their account."""
    return route.template.startswith("/accounts/")


def permission_of(way: Way) -> str:
    """Read what the route declares for the method."""
    needs = way.route.needs
    if isinstance(needs, str):
        return needs
    action = way.route.actions.get(way.method.lower(), way.method)
    return str(needs[action])


def mounts_of(route: Route) -> Iterable[tuple[str, str]]:
    if route.is_admin or route.is_public or is_account(route):
        return BROWSER
    if not is_mlflow(route):
        return [("plain", "wide"), ("plain", "session")]
    if not is_in_project(route):
        return [("plain", "wide")]
    if set(route.parameters) >= PLACES:
        return [("path", "wide"), ("path", "session")]
    return [("token", "bound"), ("workspace", "wide")]


def ask_of(way: Way, target: Target) -> Ask:
    if is_mlflow(way.route):
        return mlflow_ask(way, target)
    held = target.named
    keys = keys_of(way.route, held)
    address = address_of(way.route, target, keys)
    body = body_of(way.route, way.method, held) if way.method in WRITING else None
    return Ask(
        way.method,
        address,
        json.dumps(body).encode() if body is not None else b"",
        FORM if is_account(way.route) else JSON,
        headers=ORIGIN if way.credential == "session" else {},
        said=(address, *texts_of(body), *names_in(held), *file_named_by(keys)),
    )


def file_named_by(keys: dict[str, Any]) -> list[str]:
    """The package, its run and the path of a file; the version is but a hyphen."""
    if "path" not in keys:
        return []
    return [keys["name"], keys["path"], keys["name"].removeprefix("ml_candidate_")]


WRITING = ("POST", "PUT", "PATCH", "DELETE")


def address_of(route: Route, target: Target, keys: dict[str, Any]) -> str:
    place = {"organization": target.organization, "project": target.project}
    return route.address({**keys, **place})


def keys_of(route: Route, held: Holding) -> dict[str, Any]:
    """Fill what the address names besides its place, by the model behind the route."""
    names = set(route.parameters) - PLACES
    model = model_of(route)
    if names == {"name", "version", "path"}:
        candidate = f"ml_candidate_{held.number}"
        return {"name": candidate, "version": "-", "path": artifact(held)}
    if model is tenants.Project and "slug" in names:
        return {"slug": held.project}
    return {name: str(held.key(BY_NAME.get(name, model))) for name in names}


# What a part of an address stands for where no view set says it.
BY_NAME: dict[str, type[django_models.Model]] = {
    "invitation": tenants.Invitation,
    "token": tenants.ApiToken,
}


def model_of(route: Route) -> type[django_models.Model]:
    admin = getattr(route.view, "model_admin", None)
    if admin is not None and admin.model.__module__.partition(".")[0] in APPS:
        return admin.model
    if route.template.endswith("/packages/<pk>/archive/"):
        return registry.Package
    queryset = getattr(route.view_set, "queryset", None)
    return queryset.model if queryset is not None else registry.Run


APPS = ("tenants", "registry", "monitoring", "audit")


def names_in(held: Holding) -> Iterator[str]:
    """What stands for the holding in an address, in all its spellings."""
    for model in held.rows or (registry.Run,):
        key: object = held.key(model)
        if isinstance(key, UUID):
            yield from (str(key), key.hex)


# MLflow


def mlflow_ask(way: Way, target: Target) -> Ask:
    held, path = target.named, key_of(way.route)
    headers = dict(ORIGIN) if way.credential == "session" else {}
    if way.mount == "workspace":
        headers["x-mlflow-workspace"] = target.project
    keys: dict[str, Any] = {}
    if "path" in way.route.parameters:
        keys["path"] = f"{held.number}/{held.run}/artifacts/{artifact(held)}"
    if "workspace_name" in way.route.parameters:
        keys["workspace_name"] = held.project
    if "/mpu/" in path:
        keys |= upload_keys(held)
    if "model_id" in way.route.parameters:
        keys |= {"model_id": logged_model(held), "tag_key": held.text("key")}
    if "dataset_id" in way.route.parameters:
        keys |= {"dataset_id": evaluation_dataset(held), "key": held.text("key")}
    address = address_of(way.route, target, {**keys, "rest": "runs/get"})
    if "/mpu/" in path and "path" in keys and way.method == "POST":
        parts = upload_body(path, held)
        said = (address, *texts_of((parts, keys)), held.run, str(held.number))
        return Ask("POST", address, json.dumps(parts).encode(), JSON, headers, said)
    if path == "mlflow/graphql" and way.method == "POST":
        question = {"query": QUERY, "variables": graphql_inputs(held)}
        said = (*texts_of(question["variables"]), held.run, str(held.number))
        return Ask("POST", address, json.dumps(question).encode(), JSON, headers, said)
    endpoint = endpoints().get((path, way.method.replace("HEAD", "GET")))
    given = fill(endpoint, held) if endpoint else paths_of(way, held)
    said = (address, *texts_of((given, keys)), held.run, str(held.number))
    if endpoint is None or endpoint.method == "GET":
        address = f"{address}?{urlencode(given, doseq=True)}" if given else address
        body = b"bytes" if endpoint is None and way.method in WRITING else b""
        return Ask(way.method, address, body, OCTETS, headers, said)
    return Ask(way.method, address, json.dumps(given).encode(), JSON, headers, said)


# Everything that a query can lead to, over each of its edges.
QUERY = """
query (
  $run: MlflowGetRunInput! $runs: MlflowSearchRunsInput!
  $experiment: MlflowGetExperimentInput! $files: MlflowListArtifactsInput!
  $points: MlflowGetMetricHistoryBulkIntervalInput!
  $versions: MlflowSearchModelVersionsInput!
) {
  mlflowGetRun(input: $run) { run { ...Run } }
  mlflowSearchRuns(input: $runs) { runs { ...Run } }
  mlflowGetExperiment(input: $experiment) { experiment { name tags { key value } } }
  mlflowListArtifacts(input: $files) { rootUri files { path } }
  mlflowGetMetricHistoryBulkInterval(input: $points) { metrics { runId key value } }
  mlflowSearchModelVersions(input: $versions) { modelVersions { name source runId } }
}
fragment Run on MlflowRunExtension {
  info { runId runName userId artifactUri }
  data { metrics { key } params { key value } tags { key value } }
  inputs { datasetInputs { dataset { name source } tags { value } } }
  experiment { name artifactLocation tags { key value } }
  modelVersions { name source description }
}
"""


def graphql_inputs(held: Holding) -> dict[str, Any]:
    return {
        "run": {"runId": held.run},
        "runs": {"experimentIds": [str(held.number)]},
        "experiment": {"experimentId": str(held.number)},
        "files": {"runId": held.run, "path": held.text("folder")},
        "points": {"runIds": [held.run], "metricKey": held.text("loss")},
        "versions": {"filter": f"name = '{held.text('scorer')}'"},
    }


def upload_keys(held: Holding) -> dict[str, str]:
    """The address of an upload's folder, and that of its one part."""
    return {
        "path": f"{held.number}/{held.run}/artifacts/{held.text('folder')}",
        "upload": held.key(registry.MultipartUpload).hex,
        "number": "1",
    }


def upload_body(path: str, held: Holding) -> dict[str, Any]:
    """Complete and abort are about the upload that is there, create about another."""
    named: dict[str, Any] = {
        "path": f"{held.text('sent')}.bin",
        "upload_id": held.key(registry.MultipartUpload).hex,
    }
    if "/create" in path:
        return {"path": f"{held.text('new')}.bin", "num_parts": 1}
    if "/complete" in path:
        # Not the part's own: the first who completed would leave the next nothing to.
        return {**named, "parts": [{"part_number": 1, "etag": "0" * 64}]}
    return named


OCTETS, JSON = "application/octet-stream", "application/json"
FORM = "application/x-www-form-urlencoded"


CONVERTER = re.compile("<[a-z]+:")


@cache
def endpoints() -> dict[tuple[str, str], Endpoint]:
    return {
        (f"mlflow/{CONVERTER.sub('<', each.path)}", each.method): each
        for each in ENDPOINTS
    }


def paths_of(way: Way, held: Holding) -> dict[str, str]:
    """The query of views that stream: they have no typed schema."""
    if key_of(way.route).endswith("mlflow-artifacts/artifacts"):
        return {"path": f"{held.number}/{held.run}/artifacts/{held.text('folder')}"}
    if key_of(way.route).endswith("<model_id>/artifacts/files"):
        return {"artifact_file_path": artifact(held)}
    if "artifact" in key_of(way.route) and "path" not in way.route.parameters:
        return {"run_id": held.run, "path": artifact(held)}
    return {}


def logged_model(held: Holding) -> str:
    return f"m-{held.key(registry.LoggedModel).hex}"


def evaluation_dataset(held: Holding) -> str:
    return f"d-{held.key(registry.EvaluationDataset).hex}"


def artifact(held: Holding) -> str:
    return f"{held.text('folder')}/{held.text('file')}.txt"


def fill(endpoint: Endpoint, held: Holding) -> dict[str, Any]:
    known = {**of_mlflow(held), **OF_ENDPOINT.get(endpoint.path, no_more)(held)}
    names = {each.name for each in endpoint.fields}
    required = {each.name for each in endpoint.fields if each.is_required}
    unknown = required - set(known)
    assert not unknown, f"of_mlflow() has nothing for {unknown} of {endpoint.path}"
    return {name: known[name] for name in sorted(names & set(known))}


def of_mlflow(held: Holding) -> dict[str, Any]:
    """What each parameter of MLflow's says, if it is to be about this holding."""
    pair = {"key": held.text("key"), "value": held.text("value")}
    return {
        "run_id": held.run,
        "experiment_id": str(held.number),
        "experiment_ids": [str(held.number)],
        "experiment_name": held.text("trees"),
        "name": held.text("scorer"),
        "new_name": held.text("renamed"),
        "version": "1",
        "alias": held.text("alias"),
        "source": f"runs:/{held.run}/{held.text('folder')}",
        "model_id": logged_model(held),
        "models": [{"model_id": logged_model(held), "step": 1}],
        "tag_key": held.text("key"),
        "dataset_id": evaluation_dataset(held),
        "dataset_record_ids": [f"dr-{held.key(registry.EvaluationRecord).hex}"],
        "records": json.dumps([{"inputs": {held.text("question"): "new"}}]),
        "filter_string": f"name = '{held.text('questions')}'",
        "source_run_id": held.run,
        "key": held.text("key"),
        "value": held.text("value"),
        "metric_key": held.text("loss"),
        "run_ids": [held.run],
        "path": held.text("folder"),
        "tags": [pair],
        "params": [pair],
        "metrics": [
            {"key": held.text("loss"), "value": 2.0, "timestamp": 1, "step": 1}
        ],
        "datasets": [{"dataset": dict.fromkeys(DATASET, held.text("data"))}],
        "model_json": json.dumps(dict.fromkeys(MODEL, held.text("model")) | FLAVORS),
        "timestamp": 1,
        "step": 1,
        "max_results": 100,
        "status": "FINISHED",
        "end_time": 1,
        "run_name": held.text("renamed"),
        "workspace_name": held.project,
        "description": held.text("about"),
    }


DATASET = ("name", "digest", "source_type", "source")
MODEL = ("artifact_path", "run_id", "utc_time_created")
FLAVORS: dict[str, Any] = {"flavors": {}}


def no_more(held: Holding) -> dict[str, Any]:
    return {}


def tag_in_text(held: Holding) -> dict[str, Any]:
    return {"tags": json.dumps({held.text("key"): held.text("value")})}


# Where a name means something else than elsewhere.
OF_ENDPOINT: dict[str, Any] = {
    "experiments/create": lambda held: {"name": held.text("new")},
    "datasets/create": lambda held: {"name": held.text("new"), **tag_in_text(held)},
    "datasets/<dataset_id>/tags": tag_in_text,
    "runs/create": lambda held: {"user_id": held.text("login")},
    "logged-models/search": lambda held: {"datasets": []},
    "logged-models/<model_id>": lambda held: {"status": "LOGGED_MODEL_READY"},
    "workspaces": lambda held: {"name": held.text("new")},
    "registered-models/create": lambda held: {"name": held.text("new")},
    "metrics/get-history-bulk": lambda held: {"run_id": [held.run]},
    "runs/log-metric": lambda held: {"key": held.text("loss"), "value": 2.0},
    # Exactly one of run and logged model.
    "artifacts/presigned-upload-url": lambda held: {"model_id": ""},
}


# REST


def body_of(route: Route, method: str, held: Holding) -> dict[str, Any] | None:
    schema = request_schema(route.template, method)
    if method == "DELETE" and route.template.endswith("<organization>/"):
        return {"confirm": held.organization}
    if schema is None:
        return None
    wanted = [name for name, each in schema.items() if not each.get("readOnly")]
    if method == "PATCH":
        wanted = [name for name in wanted if name in CHANGED] or wanted[:1]
    known = of_rest(route, held)
    return {n: known[n] if n in known else sample(n, schema[n], held) for n in wanted}


# What a PATCH may change; what it may not would refuse all of it.
CHANGED = {
    "description",
    "role",
    "labels",
    "metadata",
    "tags",
    "deployment",
    "model_version",
}


def of_rest(route: Route, held: Holding) -> dict[str, Any]:
    """What each field of REST says, if it is to be about this holding."""
    known: dict[str, Any] = {
        "name": held.text("new"),
        "run": str(held.key(registry.Run)),
        "experiment": str(held.key(registry.Experiment)),
        "model": str(held.key(registry.RegisteredModel)),
        "model_version": str(held.key(registry.ModelVersion)),
        "deployment": str(held.key(registry.Deployment)),
        "user": held.joining,
        "service_account": held.person("robot"),
        "projects": [held.project],
        "roles": [{"project": held.project, "role": "viewer"}],
        "permissions": ["tracking:read"],
        "slug": held.text("new"),
        "role": "viewer" if "project" in route.parameters else "member",
        "endpoint_url": f"https://{held.mark}.example.org/",
        "path": held.text("folder"),
        "version": 1,
        "default_role": "none",
        "kind": "metric",
        "stage": "Staging",
        "tags": {held.text("key"): held.text("value")},
        "metadata": {},
        "labels": {},
        "email": f"{held.mark}-new@example.org",
        "may_write": False,
        "confirm": held.organization,
        "package_type": "",
        "push_role": "owner",
        "delete_role": "",
        "effect": "delete",
        "package_status": "",
        "older_than_days": 30,
        "keep_newest": None,
    }
    if route.template.endswith("/invitations/"):
        known |= {"projects": known["roles"]}
    if route.template.endswith("<project>/members/"):
        # Exactly one of the two; people of the organization are known by their names.
        known |= {"user": held.person("spare"), "service_account": None}
    if route.template.endswith("/delete-alias/"):
        known |= {"name": held.text("alias")}
    return known


@cache
def request_schema(template: str, method: str) -> dict[str, Any] | None:
    """The properties of a request's body, as the description of REST has them."""
    path = re.sub(r"<(\w+)>", r"{\1}", template).replace("{pk}", "{id}")
    operation = description()["paths"].get(path, {}).get(method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {})
    if JSON not in content:
        return None
    properties: dict[str, Any] = resolved(content[JSON]["schema"])["properties"]
    return properties


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    for part in (schema, *schema.get("allOf", ())):
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            return description()["components"]["schemas"][name]
    return schema


def sample(name: str, schema: dict[str, Any], held: Holding) -> Any:
    """Anything of the type; an id must be known, or the request would name nothing."""
    assert schema.get("format") != "uuid", f"of_rest() has no id for {name}"
    schema = resolved(schema)
    if "enum" in schema:
        return schema["enum"][0]
    by_type = {"integer": 1, "number": 1.0, "boolean": True, "object": {}, "array": []}
    return by_type.get(schema.get("type", ""), held.text("text"))


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a body or query, the longest parts of it first."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts_of(inner)
            yield from texts_of(name) if "qz" in name else ()
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_of(inner)
    elif isinstance(value, str) and len(value) > 3:
        yield value
        # Records and tags of evaluation datasets are JSON inside of JSON.
        yield from texts_of(json.loads(value)) if value[:1] in ("{", "[") else ()

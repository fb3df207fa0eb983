"""Two organizations full of rows, a caller of every role, and what none may see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from conftest import Cast, WebClient
from registry.models import PackageFile
from tenants.models import Project
from tenants.tests.factories import (
    MembershipFactory,
    ProjectFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    UserFactory,
    make_api_token,
)
from tests.routes import Route, routes
from tests.strangers import ADDRESSES, field_of, populate

MARKER = "planted-by-umbrella"
# What populate() names alike in both organizations, and the other may rename.
RENAMED = ("name", "description", "title", "summary", "user_name")
# By a token of an organization, where the others' are bound to a project.
WIDE = "wide"
ROLES = ("owner", "admin", "maintainer", "editor", "viewer", "member", "service")


@dataclass
class World:
    """Acme with its project fraud, as seen by seven callers; umbrella is foreign."""

    callers: dict[str, WebClient]
    # By model: what the address of a row of acme's, and of umbrella's, ends in.
    own: dict[type, str]
    foreign: dict[type, str]
    # What the address of a file of acme's names.
    file: dict[str, str]
    marks: list[bytes] = field(default_factory=list)

    def shown(self, content: bytes) -> list[bytes]:
        """Return what of umbrella's stands in an answer."""
        return [mark for mark in self.marks if mark in content]


def make_world(cast: Cast, *, bound_to: Project | None = None) -> World:
    """Store it all; `bound_to` is the one project of the callers' tokens."""
    own = populate(cast.fraud, cast.alice)
    theirs = ProjectFactory(organization=cast.umbrella, slug="moonbase")
    foreign = populate(theirs, cast.mallory)
    for row in foreign.values():
        plant(row)
    ids = [row.pk for row in foreign.values()]
    marks = [MARKER, "moonbase", *map(str, ids), *(key.hex for key in ids)]
    return World(
        callers=make_callers(cast, bound_to),
        own=keys_of(own),
        foreign=keys_of(foreign),
        file=address_of(own[PackageFile]),
        marks=[mark.encode() for mark in marks],
    )


def plant(row: Any) -> None:
    """Write the mark into the row's free texts, past every service."""
    names = {each.name for each in row._meta.concrete_fields}
    texts: dict[str, Any] = {
        name: f"{MARKER}-{name}" for name in names.intersection(RENAMED)
    }
    if "metadata" in names:
        texts["metadata"] = {MARKER: MARKER}
    if row._meta.model_name in {"package", "auditlog"}:
        return  # what identifies a package, and the trail, never change
    if texts:
        type(row)._base_manager.filter(pk=row.pk).update(**texts)


def keys_of(rows: dict[type, Any]) -> dict[type, str]:
    """Return by model what stands in the address of its row."""
    by_model = {type(row): row for row in rows.values()}
    found = {model: str(row.pk) for model, row in by_model.items()}
    for route in detail_routes():
        model = route.view_set.queryset.model
        if model in by_model and field_of(route.view_set) != "pk":
            found[model] = str(getattr(by_model[model], field_of(route.view_set)))
    return found


def address_of(file: PackageFile) -> dict[str, str]:
    package = file.package
    return {"name": package.name, "version": package.version, "path": file.path}


def detail_routes() -> list[Route]:
    return [
        route
        for route in routes()
        if hasattr(route.view_set, "queryset") and set(route.parameters) - ADDRESSES
    ]


def models_by_path() -> dict[str, type]:
    """Map "…/runs/{id}/", as the description writes it, to the model behind it."""
    return {
        described(route.template): route.view_set.queryset.model
        for route in detail_routes()
    }


def described(template: str) -> str:
    return template.replace("<pk>", "{id}").replace("<", "{").replace(">", "}")


def make_callers(cast: Cast, bound_to: Project | None) -> dict[str, WebClient]:
    users = {"owner": cast.alice}
    for role in ("admin", "maintainer", "editor", "viewer", "member"):
        users[role] = UserFactory(username=f"fuzz-{role}")
        in_organization = role if role == "admin" else "member"
        MembershipFactory(
            organization=cast.acme, user=users[role], role=in_organization
        )
        if role in {"maintainer", "editor", "viewer"}:
            ProjectMemberFactory(project=cast.fraud, user=users[role], role=role)
    robot = ServiceAccountFactory(organization=cast.acme, name="fuzz-robot")
    ProjectMemberFactory(
        project=cast.fraud, user=None, service_account=robot, role="editor"
    )
    holders = {**users, "service": robot}
    return {role: fuzzing_client(holders[role], cast, bound_to) for role in ROLES}


def fuzzing_client(holder: Any, cast: Cast, bound_to: Project | None) -> WebClient:
    """A client that shows a failure as the server would: by its answer."""
    projects = [bound_to] if bound_to else []
    token = make_api_token(holder, cast.acme, *projects).text
    headers = {"authorization": f"Bearer {token}"}
    return WebClient(headers=headers, raise_request_exception=False)

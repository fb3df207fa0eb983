"""Every route of REST, asked by every role: the table of permissions holds everywhere.

What the table says is checked in beside it (tenants/tests/test_permissions.py); here it
is met by whatever routes there are.
"""

from __future__ import annotations

import pytest

from conftest import WebClient, client_of
from tenants.models import Project
from tenants.permissions import OF_ORGANIZATION, ROLES, SIGNED_IN
from tenants.tests.factories import (
    MembershipFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    UserFactory,
    make_api_token,
)
from tests.routes import Route, routes

PROJECT_ROLES = ("maintainer", "editor", "viewer")
# Roles that each of the cast has in the organization and in the project.
EFFECTIVE = {
    "owner": {"owner", "maintainer"},
    "admin": {"admin", "maintainer"},
    "maintainer": {"member", "maintainer"},
    "editor": {"member", "editor"},
    "viewer": {"member", "viewer"},
    "member": {"member"},
    "service": {"service", "editor"},
}
NOBODYS = "00000000-0000-7000-8000-000000000000"
LACKS = b"Your role lacks the permission"


@pytest.fixture
def clients(cast) -> dict[str, WebClient]:
    found = {role: person(cast.fraud, role) for role in EFFECTIVE if role != "service"}
    robot = ServiceAccountFactory(organization=cast.acme)
    ProjectMemberFactory(
        project=cast.fraud, user=None, service_account=robot, role="editor"
    )
    return {**found, "service": client_of(make_api_token(robot, cast.acme).text)}


def person(project: Project, role: str) -> WebClient:
    user = UserFactory()
    inside = role if role in {"owner", "admin"} else "member"
    MembershipFactory(organization=project.organization, user=user, role=inside)
    if role in PROJECT_ROLES:
        ProjectMemberFactory(project=project, user=user, role=role)
    return client_of(make_api_token(user, project.organization).text)


def view_set_routes() -> list[Route]:
    return [r for r in routes() if r.actions and "organization" in r.parameters]


def address_of(route: Route) -> str:
    place = {"organization": "acme", "project": "fraud", "slug": "never-existed"}
    rest = dict.fromkeys(set(route.parameters) - set(place), NOBODYS)
    return route.address({**rest, **place})


def expected(role: str, permission: str, route: Route) -> str:
    """What becomes of the request: let in, refused, or not even found."""
    in_project = "project" in route.parameters
    if in_project and not EFFECTIVE[role] & {*PROJECT_ROLES}:
        return "not found"
    assert in_project or permission in {*OF_ORGANIZATION, SIGNED_IN}
    if permission == SIGNED_IN or EFFECTIVE[role] & set(ROLES[permission]):
        return "in"
    return "refused"


def outcome(client: WebClient, method: str, route: Route) -> str:
    # Nothing that a body could hold is asked for: who is let in meets an empty one.
    response = client.generic(method, address_of(route), b"[]", "application/json")
    if response.status_code == 403 and LACKS in response.content:
        return "refused"
    if response.status_code == 404 and b"No such organization or" in response.content:
        return "not found"
    assert response.status_code in {200, 204, 400, 404}, (method, str(route))
    return "in"


def test_every_route_lets_in_whom_the_table_lets_in(clients):
    asked = 0
    for route in view_set_routes():
        for method, action in list(route.actions.items()):
            if route.template.endswith("<organization>/") and method == "delete":
                continue  # it would end all the rest; tenants/tests/test_api.py asks
            if method == "head":
                continue  # needs what GET needs, and its answer has no body to tell by
            permission = route.needs[action]
            for role, client in clients.items():
                met = outcome(client, method.upper(), route)
                assert met == expected(role, permission, route), (
                    f"{method} {route} as {role}"
                )
                asked += 1
    assert asked > 500

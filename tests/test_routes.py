"""Deny by default: each route and method says what it needs, or is on a list here."""

from __future__ import annotations

import re

import pytest
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from conftest import client_of
from tenants.permissions import SIGNED_IN, Permission
from tests.routes import METHODS, Route, routes, walk

# Nobody signs in for these. The admin has a gate of its own, see below.
PUBLIC = {
    "/health/live",
    "/health/ready",
    # Of MLflow: clients ask these before they have sent anything.
    "/health",
    "/version",
    "/server-info",
    # "No such endpoint", which is not told from one that needs credentials elsewhere.
    "/<rest>",
}
# MLflow's endpoints stand at several addresses.
MOUNT = re.compile(r"^(/mlflow/<organization>/<project>)?(/(ajax-)?api/[23].0/mlflow)?")
# The admin's pages that somebody must see in order to sign in or out.
ADMIN_OPEN = {"/admin/login/", "/admin/logout/", "/admin/jsi18n/"}
KNOWN = {*Permission.values, SIGNED_IN}


def undeclared(route: Route) -> list[str]:
    """Return what of the route nobody has thought about."""
    if route.is_public or route.is_admin:
        return []
    if isinstance(route.needs, str):
        return [] if route.needs in KNOWN else [f"{route}: unknown {route.needs}"]
    declared = route.needs or {}
    missing = set(route.actions.values()) - set(declared)
    unknown = set(declared.values()) - KNOWN
    problems = sorted(missing | unknown) if declared else ["nothing declared"]
    return [f"{route}: {problem}" for problem in problems]


def protected() -> list[Route]:
    return [r for r in routes() if not r.is_public and not r.is_admin]


def test_every_route_declares_what_it_needs():
    complaints = [each for route in routes() for each in undeclared(route)]
    assert not complaints, "no permission declared:\n" + "\n".join(complaints)


def test_every_public_route_is_on_the_list():
    found = {MOUNT.sub("", route.template) for route in routes() if route.is_public}
    assert found - PUBLIC == set(), "open to everybody, and not on the list"


@pytest.mark.parametrize("needs", [None, {}, "tracking:raed", {"POST": "a:b"}])
def test_a_planted_route_is_seen_when_it_declares_nothing_known(needs):
    def view(request):
        return HttpResponse()

    if needs is not None:
        view.needs = needs
    (route,) = walk([path("planted/", require_safe(view))], (), ())
    assert undeclared(route)


def test_every_route_and_method_asks_for_credentials(db):
    stranger = client_of()
    complaints = []
    for route in protected():
        address = route.address({})
        for method in METHODS:
            response = stranger.generic(method, address)
            if response.status_code == 405 and not route.has(method):
                continue  # as it tells everybody
            if response.status_code != 401 or not response.get("WWW-Authenticate"):
                complaints.append(f"{method} {address}: {response.status_code}")
    assert not complaints, "open to strangers:\n" + "\n".join(complaints)


def test_every_route_refuses_bad_credentials_in_the_same_words(db):
    forged = client_of("mlp_u_000000000000_" + "0" * 43 + "000000")
    stranger = client_of()
    for route in protected():
        address = route.address({})
        for method in METHODS:
            if route.has(method):
                answers = [each.generic(method, address) for each in (forged, stranger)]
                assert [answer.status_code for answer in answers] == [401, 401], route
                assert answers[0].content == answers[1].content, route


def test_every_page_of_the_admin_asks_to_sign_in(db):
    stranger = client_of()
    complaints = []
    for route in routes():
        address = route.address({})
        if not route.is_admin or address in ADMIN_OPEN:
            continue
        response = stranger.get(address)
        if response.status_code != 302 or "/admin/login/" not in response["Location"]:
            complaints.append(f"{address}: {response.status_code}")
    assert not complaints, "open to strangers:\n" + "\n".join(complaints)

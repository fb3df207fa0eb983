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
    # A browser reports what a policy blocked, and has nobody to sign in as.
    "/csp-reports",
    # Of MLflow: clients ask these before they have sent anything.
    "/health",
    "/version",
    "/server-info",
    # Whoever finds a token somewhere may have it revoked.
    "/api/v1/token-leaks/",
}
# MLflow's endpoints stand at several addresses.
MOUNT = re.compile(r"^(/mlflow/<organization>/<project>)?(/(ajax-)?api/[23].0/mlflow)?")
# The admin's pages that somebody must see in order to sign in or out.
ADMIN_OPEN = {"/admin/login/", "/admin/logout/", "/admin/jsi18n/"}
# Of the pages where people look after their accounts, those that open to strangers:
# to sign in, to prove that an address is theirs, or to hear that they may not.
ACCOUNT_OPEN = {
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/inactive/",
    "/accounts/confirm-email/",
    "/accounts/confirm-email/<key>/",
    "/accounts/password/reset/",
    "/accounts/password/reset/done/",
    "/accounts/password/reset/key/<uidb36>-<key>/",
    "/accounts/password/reset/key/done/",
    # Whoever holds the secret, and whoever comes back from the identity provider.
    "/accounts/invitations/<secret>/",
    "/accounts/oidc/<provider_id>/login/",
    "/accounts/oidc/<provider_id>/login/callback/",
    "/accounts/3rdparty/login/cancelled/",
    "/accounts/3rdparty/login/error/",
}
KNOWN = {*Permission.values, SIGNED_IN}


def undeclared(route: Route) -> list[str]:
    """Return what of the route nobody has thought about."""
    if route.is_public or route.is_admin or route.is_account_page:
        return []
    if isinstance(route.needs, str):
        return [] if route.needs in KNOWN else [f"{route}: unknown {route.needs}"]
    declared = route.needs or {}
    missing = set(route.actions.values()) - set(declared)
    unknown = set(declared.values()) - KNOWN
    problems = sorted(missing | unknown) if declared else ["nothing declared"]
    return [f"{route}: {problem}" for problem in problems]


def protected() -> list[Route]:
    """Routes that ask for a token or a session, and answer 401 without."""
    own_gate = ("is_public", "is_admin", "is_account_page")
    return [r for r in routes() if not any(getattr(r, name) for name in own_gate)]


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
            if response.status_code != 401 or not response.get("WWW-Authenticate"):
                complaints.append(f"{method} {address}: {response.status_code}")
    assert not complaints, "open to strangers:\n" + "\n".join(complaints)


def test_every_route_refuses_bad_credentials_in_the_same_words(db):
    forged = client_of("mlp_u_000000000000_" + "0" * 43 + "000000")
    stranger = client_of()
    for route in protected():
        address = route.address({})
        for method in METHODS:
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


def account_pages() -> list[Route]:
    return [route for route in routes() if route.is_account_page]


def test_every_account_page_that_is_not_listed_asks_to_sign_in(db):
    stranger = client_of()
    complaints = []
    for route in account_pages():
        address = route.address({})
        if route.template in ACCOUNT_OPEN:
            continue
        for method in ("GET", "POST"):
            response = stranger.generic(method, address)
            to = response.get("Location", "")
            asked = response.status_code == 302 and to.startswith("/accounts/login/")
            if not asked and response.status_code != 405:
                complaints.append(f"{method} {address}: {response.status_code} {to}")
    assert not complaints, "open to strangers:\n" + "\n".join(complaints)


def test_every_listed_account_page_exists():
    assert {route.template for route in account_pages()} >= ACCOUNT_OPEN


def test_no_account_page_fails_for_a_stranger(db):
    stranger = client_of()
    for route in account_pages():
        for method in METHODS:
            response = stranger.generic(method, route.address({}))
            assert response.status_code < 500, f"{method} {route}"

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.http import Http404, HttpResponse, JsonResponse
from django.template import Context, Template
from django.template.response import SimpleTemplateResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from audit.models import AuditLog
from conftest import WebClient, client_of
from mlops.errors import Conflict, InvalidInput
from registry.models import Experiment
from tenants import context
from tenants.models import Organization, Project
from tenants.permissions import SIGNED_IN
from tenants.services.projects import create_project
from tenants.tests.factories import make_api_token

API = "/api/v1/organizations/"
FRAUD = f"{API}acme/projects/fraud/"
JSON = {"content_type": "application/json"}


# Views that do one thing each


def silent(request):
    return HttpResponse()


def public(request):
    return HttpResponse("open")


def refused(request, organization, project):
    create_project(organization_of(request), slug="half-made")
    return JsonResponse({}, status=int(request.GET["status"]))


def raising(request, organization, project):
    create_project(organization_of(request), slug="half-made")
    raise {
        "domain": Conflict("No."),
        "none": Http404(),
        "database": OperationalError("terminating connection"),
        "bug": RuntimeError("oops"),
    }[request.GET["error"]]


def organization_of(request):
    return Organization(pk=request.actor.organization_id)


def lazy(request, organization, project):
    names = Experiment.objects.in_project(request.actor.project_id)
    page = Template("{% for e in names %}{{ e.name }}{% endfor %}")
    return SimpleTemplateResponse(LazyTemplate(page), {"names": names})


class LazyTemplate:
    def __init__(self, page):
        self.page = page

    def render(self, values, request=None):
        return self.page.render(Context(values))


def who(request, organization=None, project=None):
    return JsonResponse(
        {"actor": str(context.acting()), "place": request.actor.project}
    )


def foreign_skin(request, error):
    return JsonResponse({"error_code": error.code}, status=error.status)


class Half(ViewSet):
    needs = {"list": "tracking:read"}

    def list(self, request, organization, project):
        return Response([])

    def create(self, request, organization, project):
        return Response([])


@csrf_exempt
def unsafe(request, organization, project):
    return HttpResponse("written")


def skinned(request):
    raise InvalidInput


public.public = True  # type: ignore[attr-defined]
for view in (refused, raising, lazy, unsafe):
    view.needs = "tracking:read"  # type: ignore[attr-defined]
unsafe.needs = {"POST": "tracking:write", "GET": "tracking:read"}  # type: ignore[attr-defined]
who.needs = "tracking:read"  # type: ignore[attr-defined]
skinned.needs = SIGNED_IN  # type: ignore[attr-defined]
skinned.refuse = foreign_skin  # type: ignore[attr-defined]

PLACE = "<slug:organization>/<slug:project>/"
urlpatterns = [
    path("silent/", silent),
    path("public/", public),
    path("skinned/", skinned),
    path("who/", who),
    path("", include("mlops.urls")),
    path(PLACE + "refused/", refused),
    path(PLACE + "raising/", raising),
    path(PLACE + "lazy/", lazy),
    path(PLACE + "who/", who),
    path(PLACE + "unsafe/", unsafe),
    path(PLACE + "half/", Half.as_view({"get": "list", "post": "create"})),
]
handler404 = "mlops.api.exceptions.not_found"
pytestmark = pytest.mark.urls(__name__)


# Deny by default


def test_a_route_that_declares_nothing_is_shut_for_everybody(alice, stranger):
    assert alice.get("/silent/").status_code == 403
    assert stranger.get("/silent/").status_code == 401


def test_an_action_that_declares_nothing_is_shut(alice):
    assert alice.get("/acme/fraud/half/").status_code == 200
    assert alice.post("/acme/fraud/half/", {}, **JSON).status_code == 403


def test_a_public_route_asks_for_nothing(stranger):
    assert stranger.get("/public/").content == b"open"


def test_a_permission_by_method_is_weighed_by_method(bob, alice):
    assert bob.get("/acme/fraud/unsafe/").status_code == 200
    assert bob.post("/acme/fraud/unsafe/").status_code == 403
    assert alice.post("/acme/fraud/unsafe/").status_code == 200
    assert alice.delete("/acme/fraud/unsafe/").status_code == 403


# Refusals


def refusals(organization):
    trail = AuditLog._base_manager.filter(organization_id=organization.pk)
    return list(trail.filter(action="request.refused").order_by("pk"))


def test_a_refusal_is_recorded_with_who_was_kept_from_what(bob, cast):
    assert bob.post("/acme/fraud/unsafe/").status_code == 403
    (entry,) = refusals(cast.acme)
    assert (entry.outcome, entry.actor_id) == ("denied", cast.bob.pk)
    assert entry.after == {
        "method": "POST",
        "route": "<slug:organization>/<slug:project>/unsafe/",
        "repeated": 0,
    }


def test_a_refusal_by_a_service_is_recorded_as_well(bob, cast):
    body = {"name": "robot"}
    address = f"{API}acme/service-accounts/"
    assert bob.post(address, body, **JSON).status_code == 403
    (entry,) = refusals(cast.acme)
    assert entry.actor_id == cast.bob.pk


def test_the_same_refusal_is_recorded_once_a_minute(bob, cast, monkeypatch):
    for _ in range(5):
        bob.post("/acme/fraud/unsafe/")
    assert len(refusals(cast.acme)) == 1
    monkeypatch.setattr("tenants.refusals.WINDOW_SECONDS", 0)
    monkeypatch.setattr("tenants.refusals.time.monotonic", lambda: 10.0**12)
    bob.post("/acme/fraud/unsafe/")
    assert [entry.after["repeated"] for entry in refusals(cast.acme)] == [0, 4]


def test_nobody_is_recorded_who_is_not_known(stranger, cast):
    stranger.post("/acme/fraud/unsafe/")
    assert refusals(cast.acme) == refusals(cast.umbrella) == []


def test_what_is_not_found_is_recorded_where_the_caller_belongs(mallory, cast):
    assert mallory.post("/acme/fraud/unsafe/").status_code == 404
    assert mallory.post("/nowhere/fraud/unsafe/").status_code == 404
    (entry,) = refusals(cast.umbrella)
    assert (entry.outcome, entry.actor_id) == ("denied", cast.mallory.pk)
    assert "acme" not in str(entry.after)
    assert refusals(cast.acme) == []


# The transaction


@pytest.mark.parametrize("status", [400, 404, 409, 500, 503])
def test_a_refused_request_leaves_nothing_behind(alice, status):
    response = alice.get(f"/acme/fraud/refused/?status={status}")
    assert response.status_code == status
    assert not Project._base_manager.filter(slug="half-made").exists()


@pytest.mark.parametrize(
    "error,status", [("domain", 409), ("none", 404), ("database", 503)]
)
def test_an_error_is_answered_and_leaves_nothing_behind(alice, error, status):
    response = alice.get(f"/acme/fraud/raising/?error={error}")
    assert response.status_code == status
    assert ("Retry-After" in response) == (status == 503)
    assert not Project._base_manager.filter(slug="half-made").exists()


def test_a_bug_is_not_swallowed(alice):
    with pytest.raises(RuntimeError, match="oops"):
        alice.get("/acme/fraud/raising/?error=bug")


def test_a_page_is_rendered_while_the_tenant_is_bound(alice):
    assert alice.get("/acme/fraud/lazy/").content == b"Default"


def test_nothing_stays_bound_after_the_request(alice, alice_in_fraud):
    for client in (alice, alice_in_fraud):
        client.get("/acme/fraud/who/")
        assert context.current_actor() is None
        with pytest.raises(context.TenantContextMissing):
            context.bound_organization()


def test_nothing_stays_bound_after_a_refusal(alice):
    alice.get("/acme/fraud/raising/?error=domain")
    assert context.current_actor() is None


def test_two_organizations_alternate_on_one_connection(alice, mallory):
    before = id(connection.connection)
    for _ in range(20):
        for client, organization in ((alice, "acme"), (mallory, "umbrella")):
            runs = f"{API}{organization}/projects/fraud/experiments/"
            client.get(f"/{organization}/fraud/raising/?error=database")
            (row,) = client.get(runs).json()["results"]
            assert client.get(f"{runs}{row['id']}/").status_code == 200
            other = mallory if client is alice else alice
            assert other.get(f"{runs}{row['id']}/").status_code == 404
    assert id(connection.connection) == before


def test_an_answer_is_for_nobodys_cache(alice):
    assert alice.get("/acme/fraud/who/")["Cache-Control"] == "no-store"


def test_a_skin_says_in_its_own_way_what_is_wrong(alice, stranger):
    assert stranger.get("/skinned/").json() == {"error_code": "unauthenticated"}
    assert alice.get("/skinned/").json() == {"error_code": "invalid_input"}


# Where the caller is


def test_the_actor_is_bound_with_its_token(cast):
    token = make_api_token(cast.alice, cast.acme)
    shown = client_of(token.text).get("/acme/fraud/who/").json()
    assert shown["actor"] == f"user:{cast.alice.pk}:{token.public_id}"


def test_a_token_of_one_project_needs_no_address(alice_in_fraud, alice):
    assert alice_in_fraud.get("/who/").json()["place"] == "fraud"
    assert alice.get("/who/").status_code == 400


@pytest.mark.parametrize(
    "address,workspace,status",
    [
        ("/who/", "fraud", 200),
        ("/who/", "churn", 404),
        ("/who/", "Fraud", 404),
        ("/who/", "never-existed", 404),
        ("/who/", "", 404),
        ("/acme/fraud/who/", "fraud", 200),
        ("/acme/fraud/who/", "churn", 400),
        ("/acme/churn/who/", None, 404),
        ("/umbrella/fraud/who/", None, 404),
        ("/ACME/fraud/who/", None, 404),
    ],
)
def test_the_header_only_narrows(alice_in_fraud, address, workspace, status):
    headers = {} if workspace is None else {"X-MLFLOW-WORKSPACE": workspace}
    assert alice_in_fraud.get(address, headers=headers).status_code == status


# Sessions


def signed_in(user):
    client = WebClient(enforce_csrf_checks=True)
    client.force_login(user)
    client.cookies["csrftoken"] = "a" * 32
    return client


def test_a_session_reads_what_its_person_may_see(cast):
    browser = signed_in(cast.bob)
    assert browser.get(f"{FRAUD}runs/").status_code == 200
    assert browser.get(f"{API}acme/projects/churn/runs/").status_code == 404
    assert browser.get(f"{API}umbrella/projects/fraud/runs/").status_code == 404


@pytest.mark.parametrize(
    "headers,status",
    [
        ({"Origin": "http://testserver", "X-CSRFToken": "a" * 32}, 201),
        ({"Origin": "http://testserver"}, 403),
        ({"Origin": "http://testserver", "X-CSRFToken": "b" * 32}, 403),
        ({"X-CSRFToken": "a" * 32}, 403),
        ({"Origin": "https://evil.example", "X-CSRFToken": "a" * 32}, 403),
        ({"Origin": "null", "X-CSRFToken": "a" * 32}, 403),
        ({"Origin": "https://testserver", "X-CSRFToken": "a" * 32}, 403),
        (
            {
                "Origin": "http://testserver",
                "Sec-Fetch-Site": "cross-site",
                "X-CSRFToken": "a" * 32,
            },
            403,
        ),
    ],
)
def test_a_session_writes_from_our_own_pages_only(cast, headers, status):
    browser = signed_in(cast.alice)
    body = {"name": "scorer"}
    response = browser.post(f"{FRAUD}models/", body, headers=headers, **JSON)
    assert response.status_code == status


def test_a_token_needs_no_origin_and_no_csrf_token(alice):
    response = alice.post(f"{FRAUD}models/", {"name": "scorer"}, **JSON)
    assert response.status_code == 201


def test_a_session_ends_with_its_person(cast):
    browser = signed_in(cast.bob)
    cast.bob.is_active = False
    cast.bob.save()
    assert browser.get(f"{FRAUD}runs/").status_code == 401


def test_a_session_that_names_no_organization_binds_none(cast):
    browser = signed_in(cast.alice)
    assert browser.get("/skinned/").status_code == 400
    assert browser.get("/who/").status_code == 404

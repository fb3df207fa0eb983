"""Case E8: what an answer that refuses repeats of a request, and as what it is sent."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import quote

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import path

from conftest import Cast, WebClient
from mlops.urls import handler400, handler403, handler404, handler500
from mlops.urls import urlpatterns as ours

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
WRITTEN = quote(HOSTILE, safe="")
HANDLERS = (handler400, handler403, handler404, handler500)


def forbidden(request: HttpRequest) -> NoReturn:
    raise PermissionDenied(HOSTILE)


def broken(request: HttpRequest) -> NoReturn:
    raise RuntimeError(HOSTILE)


PREFIXES = ("", "api/v1/", "api/2.0/mlflow/", "ajax-api/2.0/", "admin/", "accounts/")
for view in (forbidden, broken):
    view.public = True  # type: ignore[attr-defined]
urlpatterns = [
    *(path(f"{prefix}forbidden/", forbidden) for prefix in PREFIXES),
    *(path(f"{prefix}broken/", broken) for prefix in PREFIXES),
    *ours,
]
pytestmark = pytest.mark.urls(__name__)
FOR_PROGRAMS = ("api/", "ajax-api/", "mlflow/", "get-artifact")
# Addresses that lead nowhere, or hold what somebody else has written.
ADDRESSES = [
    f"/{WRITTEN}",
    f"/api/v1/{WRITTEN}",
    f"/api/v1/organizations/{WRITTEN}/",
    f"/api/v1/organizations/acme/projects/{WRITTEN}/",
    f"/api/v1/organizations/acme/projects/fraud/runs/?status={WRITTEN}",
    f"/api/v1/organizations/acme/projects/fraud/runs/?cursor={WRITTEN}",
    f"/api/2.0/mlflow/{WRITTEN}",
    f"/api/2.0/mlflow/runs/get?run_id={WRITTEN}",
    f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={WRITTEN}",
    f"/mlflow/acme/fraud/ajax-api/3.0/mlflow/{WRITTEN}",
    f"/mlflow/{WRITTEN}/fraud/api/2.0/mlflow/runs/get",
    f"/get-artifact?run_id={WRITTEN}&path={WRITTEN}",
    f"/api/2.0/mlflow-artifacts/artifacts/{WRITTEN}",
    f"/admin/{WRITTEN}/",
    f"/admin/login/?next={WRITTEN}",
    f"/accounts/{WRITTEN}/",
    f"/accounts/login/?next={WRITTEN}",
    f"/accounts/invitations/{WRITTEN}/",
    f"/static/{WRITTEN}",
    f"/health/{WRITTEN}",
]


def assert_harmless(answer, address: str) -> None:
    kind = answer["Content-Type"].partition(";")[0]
    content = answer.content.decode()
    if kind == "application/json":
        assert "Content-Security-Policy" in answer
        assert answer["X-Content-Type-Options"] == "nosniff"
    else:
        assert not address.lstrip("/").startswith(FOR_PROGRAMS), address
        assert kind in ("text/html", "text/plain"), address
        assert "<script>" not in content, address
        assert "<img src=x" not in content, address


@pytest.mark.parametrize("accepted", ["text/html", "*/*"])
def test_an_error_repeats_no_markup_as_markup(alice, stranger, accepted):
    for client in (alice, stranger):
        for address in ADDRESSES:
            for method in ("GET", "POST", WRITTEN):
                headers = {"accept": accepted}
                answer = client.generic(
                    method, address, b"{}", "application/json", headers=headers
                )
                if answer.status_code not in (301, 302):
                    assert_harmless(answer, address)


def test_a_content_type_is_not_repeated_as_markup(alice):
    for address in (
        "/api/2.0/mlflow/runs/create",
        "/api/v1/organizations/acme/projects/",
        "/accounts/login/",
    ):
        answer = alice.post(address, b"{}", HOSTILE)
        assert answer.status_code in (200, 400, 403, 415), address
        assert_harmless(answer, address)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_failure_says_nothing_of_what_it_was(db, prefix):
    client = WebClient(raise_request_exception=False)
    for name, status in (("forbidden", 403), ("broken", 500)):
        answer = client.get(f"/{prefix}{name}/")
        assert answer.status_code == status
        assert "alert(1)" not in answer.content.decode()
        assert_harmless(answer, prefix)


def test_a_host_that_is_not_ours_is_not_repeated(db):
    for address in ("/", "/api/v1/organizations/", "/api/2.0/mlflow/runs/get"):
        answer = WebClient(headers={"host": "<script>"}).get(address)
        assert answer.status_code == 400
        assert_harmless(answer, address)


# E13: where one is led once signed in

ELSEWHERE = [
    "//evil.example",
    "https:evil.example",
    "https://evil.example/admin/",
    "http:///evil.example",
    "\\evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "///evil.example",
    "javascript:alert(1)",
    "%09//evil.example",
    "//testserver@evil.example",
    "/%09/evil.example",
    "\t//evil.example",
]


@pytest.mark.parametrize("page", ["/admin/login/", "/accounts/login/"])
def test_signing_in_leads_to_no_other_site(cast: Cast, page):
    cast.alice.set_password("a long password")
    cast.alice.save()
    for wanted in ELSEWHERE:
        client = WebClient()
        answer = client.get(page, {"next": wanted})
        if answer.status_code == 302:
            assert answer["Location"].startswith("/accounts/login/")
            answer = client.get(answer["Location"])
        form = {"login": "alice", "password": "a long password", "next": wanted}
        answer = client.post(f"/accounts/login/?next={quote(wanted)}", form)
        assert answer.status_code == 302, wanted
        assert stays(answer["Location"]), (wanted, answer["Location"])


def stays(location: str) -> bool:
    """As browsers read it: they drop tabs, and take a backslash for a slash."""
    path = location.replace("\t", "").replace("\\", "/")
    return path.startswith("/") and not path.startswith("//")

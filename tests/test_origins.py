"""Cases C8, E4 and E5: a cookie that a browser sends unasked, from another's page.

A token is sent by nobody unasked, so none of this concerns it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test.client import MULTIPART_CONTENT

from conftest import Cast, WebClient
from registry.models import Experiment, PackageFile
from registry.tests.factories import RunFactory
from tenants.models import Project
from tests.mounts import Mount, every_mount, mounts

JSON = "application/json"
OURS = "http://testserver"
# What browsers say of a page, or of an address, that is not ours.
FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {},
    {"origin": "https://testserver"},
    {"origin": "http://testserver:81"},
    {"origin": "http://testserver.evil.example"},
    {"origin": f"{OURS}/"},
    {"origin": f"{OURS} https://evil.example"},
    {"origin": OURS, "sec-fetch-site": "cross-site"},
    {"origin": OURS, "sec-fetch-site": "same-site"},
    {"origin": OURS, "sec-fetch-site": ""},
]
FORMS = (
    "text/plain",
    "application/x-www-form-urlencoded",
    MULTIPART_CONTENT,
    "",
)
# A session names no organization: on the other mounts it is told that there is none.
by_path = pytest.mark.parametrize(
    "mount", [mount for mount in mounts() if mount.name.startswith("path")], ids=str
)
Browser = Callable[..., WebClient]


@pytest.fixture
def browser(cast: Cast) -> Browser:
    """Alice, signed in, in a browser that sends the headers; nothing is made easy."""

    def signed_in(**headers: str) -> WebClient:
        client = WebClient(enforce_csrf_checks=True, headers=headers)
        client.force_login(cast.alice)
        return client

    return signed_in


def create_experiment(client: WebClient, mount: Mount, content_type: str = JSON) -> Any:
    address = mount.url("experiments/create")
    body = b'{"name": "forged"}'
    return client.generic("POST", address, body, content_type, headers=mount.headers)


@every_mount
def test_a_session_writes_on_mlflows_paths_for_our_pages_alone(browser, mount):
    for headers in FOREIGN:
        answer = create_experiment(browser(**headers), mount)
        assert answer.status_code == 403, headers
        assert answer.json()["error_code"] == "PERMISSION_DENIED"
    assert not Experiment._base_manager.filter(name="forged").exists()


@by_path
def test_a_session_writes_on_mlflows_paths_from_our_pages(browser, mount):
    headers = {"origin": OURS, "sec-fetch-site": "same-origin"}
    assert create_experiment(browser(**headers), mount).status_code == 200
    assert Experiment._base_manager.filter(name="forged").exists()


@by_path
def test_what_a_form_can_send_is_no_request(browser, mount):
    """E3: from our own origin even, a form's body is not read as JSON."""
    client = browser(origin=OURS)
    for content_type in FORMS:
        answer = create_experiment(client, mount, content_type)
        assert answer.status_code == 400, content_type
        wrong = "must be one of" if content_type else "header is missing"
        assert f"Content-Type {wrong}" in answer.json()["message"]
    assert not Experiment._base_manager.filter(name="forged").exists()


@pytest.mark.parametrize("below", ["", "/mlflow/acme/fraud"])
def test_a_session_uploads_and_deletes_files_for_our_pages_alone(browser, cast, below):
    run = RunFactory(experiment__project=cast.fraud)
    folder = f"{below}/ajax-api/2.0/mlflow-artifacts/artifacts"
    file = f"{folder}/{run.experiment.iid}/{run.pk.hex}/artifacts/a"
    upload = f"{below}/ajax-api/2.0/mlflow/upload-artifact"
    for headers in FOREIGN:
        client = browser(**headers)
        for answer in (
            client.put(file, b"x", "text/plain"),
            client.delete(file),
            client.post(f"{upload}?run_uuid={run.pk.hex}&path=a", b"x", "text/plain"),
        ):
            assert answer.status_code == 403, headers
    assert not PackageFile._base_manager.exists()


# REST: the origin, and the token of the form as well

PROJECTS = "/api/v1/organizations/acme/projects/"


def create_project(client: WebClient, **headers: str) -> Any:
    return client.post(
        PROJECTS, {"slug": "forged", "name": "Forged"}, JSON, headers=headers
    )


def test_a_session_writes_by_rest_for_our_pages_alone(browser):
    for headers in FOREIGN:
        client = browser(**headers)
        answer = create_project(client, **{"x-csrftoken": csrf_token(client)})
        assert answer.status_code == 403, headers
    assert not Project._base_manager.filter(slug="forged").exists()


def test_a_session_writes_by_rest_with_the_token_of_our_pages(browser):
    client = browser(origin=OURS)
    assert create_project(client).status_code == 403
    assert create_project(client, **{"x-csrftoken": "x" * 32}).status_code == 403
    token = {"x-csrftoken": csrf_token(client)}
    for content_type in FORMS:
        body = {"slug": "x"} if content_type == FORMS[2] else '{"slug": "x"}'
        answer = client.post(PROJECTS, body, content_type, headers=token)
        # Looking for the form's token reads a multipart body, which REST then misses.
        expected = 400 if content_type == FORMS[2] else 415
        assert answer.status_code == expected, content_type
    assert create_project(client, **token).status_code == 201


def csrf_token(client: WebClient) -> str:
    client.get("/accounts/login/")
    client.get("/accounts/password/change/")
    return client.cookies["csrftoken"].value


# Pages with forms

FORM = "/accounts/login/"


def test_a_form_is_sent_from_our_pages_alone(db):
    client = WebClient(enforce_csrf_checks=True)
    client.get(FORM)
    token = client.cookies["csrftoken"].value
    filled = {"login": "alice", "password": "x", "csrfmiddlewaretoken": token}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        refused = client.post(FORM, filled, headers=headers)
        assert refused.status_code == 403, headers
        assert b"load the page again" in refused.content
        assert b"evil.example" not in refused.content
    ours = {"origin": OURS, "sec-fetch-site": "same-origin"}
    assert client.post(FORM, filled, headers=ours).status_code == 200
    del filled["csrfmiddlewaretoken"]
    assert client.post(FORM, filled, headers=ours).status_code == 403


def test_cookies_leave_this_site_for_no_other(db):
    client = WebClient()
    client.get(FORM)
    cookie = client.cookies["csrftoken"]
    assert (cookie["samesite"], cookie["httponly"]) == ("Lax", True)


# Questions that browsers ask before

ADDRESSES = [
    "/api/2.0/mlflow/runs/search",
    "/mlflow/acme/fraud/ajax-api/2.0/mlflow/runs/search",
    "/api/v1/organizations/",
    PROJECTS,
    "/api/v1/schema/",
    "/get-artifact",
    "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/y",
    "/admin/",
    "/accounts/login/",
    "/health/ready",
    "/csp-reports",
    "/static/admin/platform/icon.svg",
    "/nowhere",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_origin_is_let_in_by_a_question(browser, address):
    client = browser()
    for origin in ("https://evil.example", "null", OURS):
        asked = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        for method in ("OPTIONS", "GET", "POST"):
            answer = client.generic(method, address, headers=asked)
            assert [n for n in answer.headers if n.startswith("Access-Control")] == []
            assert answer["Cross-Origin-Resource-Policy"] == "same-origin"

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from django.views.decorators.vary import vary_on_headers

from mlops.policy import NOTHING, OF_OTHERS, SURFACES, BrowserPolicy, pages
from mlops.urls import urlpatterns as ours

ROOT = Path(__file__).resolve().parents[2]
PAGE = dict(SURFACES)["/admin/"]


def own(request):
    return HttpResponse(
        headers={
            "Content-Security-Policy": "sandbox",
            "Cache-Control": "private",
            "Referrer-Policy": "no-referrer",
        }
    )


@vary_on_headers("Accept", "Cookie")
def varying(request):
    return HttpResponse()


own.public = varying.public = True  # type: ignore[attr-defined]
urlpatterns = [path("own/", own), path("varying/", varying), *ours]
handler404 = "mlops.api.exceptions.not_found"


def answer(address: str, **headers: str) -> HttpResponse:
    return Client(headers=headers).get(address)  # type: ignore[return-value]


# Headers


@pytest.mark.parametrize("address", ["/health/live", "/nowhere", "/api/2.0/mlflow/x"])
def test_what_is_no_page_may_do_nothing(address):
    response = answer(address)
    assert response["Content-Security-Policy"] == NOTHING
    assert "default-src 'none'; frame-ancestors 'none'" in NOTHING


@pytest.mark.parametrize("address", ["/health/live", "/nowhere", "/admin/nowhere/x"])
def test_every_answer_carries_the_headers(address):
    headers = Client().get(address).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert set(headers["Vary"].split(", ")) == {"Authorization", "Cookie"}
    assert "no-store" in headers["Cache-Control"]
    assert "camera=()" in headers["Permissions-Policy"]
    # Signing in with a security key is what a page may still ask for.
    assert "publickey" not in headers["Permissions-Policy"]


def test_pages_run_our_files_and_nothing_else():
    assert "default-src 'none'" in PAGE
    assert "script-src 'self';" in PAGE
    assert "style-src 'self';" in PAGE
    assert "frame-ancestors 'none'" in PAGE
    assert "base-uri 'none'" in PAGE
    assert "form-action 'self';" in PAGE
    assert "unsafe" not in PAGE
    assert "http" not in PAGE


def test_a_form_may_lead_to_an_identity_provider_where_a_view_says_so():
    policy = pages(forms=["https://sso.example"])
    assert "form-action 'self' https://sso.example;" in policy


@pytest.mark.urls(__name__)
def test_a_view_may_say_something_itself():
    response = answer("/own/")
    assert response["Content-Security-Policy"] == "sandbox"
    assert response["Cache-Control"] == "private"
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.urls(__name__)
def test_what_an_answer_depends_on_is_added_to():
    assert answer("/varying/")["Vary"] == "Accept, Cookie, Authorization"


@override_settings(WHITENOISE_USE_FINDERS=True)
def test_static_files_are_for_our_own_pages_and_for_caches():
    evil = "https://evil.example"
    response = answer("/static/admin/platform/expressions.js", origin=evil)
    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" not in response["Cache-Control"]


@override_settings(SECURE_HSTS_SECONDS=3600)
def test_browsers_are_told_to_come_by_tls_on_tls_alone():
    plain, sealed = Client().get("/nowhere"), Client().get("/nowhere", secure=True)
    assert "Strict-Transport-Security" not in plain
    assert sealed["Strict-Transport-Security"] == "max-age=3600"


def test_the_headers_cost_a_hot_request_little():
    """About 2 microseconds where setting them one by one takes 18."""
    request = RequestFactory().get("/api/2.0/mlflow/runs/get")
    policy = BrowserPolicy(lambda request: HttpResponse(b"{}"))

    def one_by_one(request):
        response = HttpResponse(b"{}")
        for name, value in OF_OTHERS.values():
            response.headers.setdefault(name, value)
        return response

    assert cpu_seconds(policy, request) < cpu_seconds(one_by_one, request)
    assert policy(request).headers == one_by_one(request).headers


def cpu_seconds(serve, request) -> float:
    best = 60.0
    for _ in range(5):
        start = time.process_time()
        for _ in range(2000):
            serve(request)
        best = min(best, time.process_time() - start)
    return best


# What an installation gets

PRINTED = """
import json, django
from django.conf import settings
django.setup()
kinds = ("SECURE_", "SESSION_COOKIE", "CSRF_COOKIE")
names = [name for name in dir(settings) if name.startswith(kinds)]
print(json.dumps({name: getattr(settings, name) for name in names}, default=str))
"""


def settings_of(profile: str, tmp_path: Path, **more: str) -> dict:
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {
        **own,
        "VAR": str(tmp_path),
        "PROFILE": profile,
        "ALLOWED_HOSTS": "mlops.example",
        "DJANGO_SETTINGS_MODULE": "mlops.settings",
        **more,
    }
    command = [sys.executable, "-c", PRINTED]
    printed = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(printed.stdout)


def test_production_seals_its_cookies(tmp_path):
    found = settings_of("production", tmp_path, TRUSTED_PROXIES="10.0.0.0/24")
    for cookie, name in (("SESSION", "sessionid"), ("CSRF", "csrftoken")):
        assert found[f"{cookie}_COOKIE_NAME"] == f"__Host-{name}"
        assert found[f"{cookie}_COOKIE_SECURE"] is True
        assert found[f"{cookie}_COOKIE_HTTPONLY"] is True
        assert found[f"{cookie}_COOKIE_SAMESITE"] == "Lax"
        # What the prefix demands of a cookie, or browsers drop it.
        assert found[f"{cookie}_COOKIE_PATH"] == "/"
        assert found[f"{cookie}_COOKIE_DOMAIN"] is None
    assert found["SECURE_HSTS_SECONDS"] == 3600
    assert found["SECURE_HSTS_PRELOAD"] is False
    assert found["SECURE_SSL_REDIRECT"] is True
    assert found["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]


def test_nobody_is_believed_about_tls_unless_named(tmp_path):
    assert settings_of("production", tmp_path)["SECURE_PROXY_SSL_HEADER"] is None


# Alpine without eval

VENDORED = "unfold/js/alpine/alpine.js"


def test_the_admin_runs_the_build_without_eval_that_its_note_names():
    found = Path(finders.find(VENDORED))
    assert found == ROOT / "mlops" / "static" / VENDORED
    note = (found.parent / "README.md").read_text()
    (named,) = re.findall(r"`([0-9a-f]{64})`", note)
    assert hashlib.sha256(found.read_bytes()).hexdigest() == named
    assert (found.parent / "LICENSE").read_text().startswith("# MIT License")
    assert b"new Function" not in found.read_bytes()

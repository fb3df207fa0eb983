"""A person comes by the identity provider, in a browser, and works: nothing is played.

A platform of its own, because the provider is a setting of the installation.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import context_of
from tests.e2e.running import Platform, free_port, running

pytestmark = [pytest.mark.browser, pytest.mark.soak]

SUBJECT, EMAIL = "dana-1", "dana@elsewhere.example"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    port = free_port()
    words = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"nobody listens at {port}")


@pytest.fixture(scope="module")
def platform(provider: str) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OIDC_ISSUER", provider)
        patch.setenv("OIDC_NAME", "Acme ID")
        patch.setenv("OIDC_CLIENT_ID", "mlops")
        patch.setenv("OIDC_CLIENT_SECRET", "not-a-secret")
        with running() as platform:
            yield platform


@pytest.fixture
def page(platform: Platform, chromium: Browser) -> Iterator[Page]:
    with context_of(chromium, platform.base_url) as context:
        yield context.new_page()


def sign_in(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_role("link", name="Acme ID").click()
    page.fill("input[name=sub]", SUBJECT)
    page.locator("button[type=submit]").first.click()


def test_who_is_invited_comes_by_the_provider_and_issues_a_token(
    platform: Platform, provider: str, page: Page
):
    claims: Any = {"email": EMAIL, "email_verified": True}
    requests.put(f"{provider}/users/{SUBJECT}", json=claims, timeout=10)
    sign_in(page)
    expect(page.get_by_role("alert")).to_contain_text(f"knows {EMAIL}")

    place = ("--organization", "demo", "--project", "demo=editor")
    platform.manage("invite", *place, "--email", EMAIL)
    sign_in(page)
    page.wait_for_url("**/accounts/")
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.get_by_role("link", name="demo").click()
    expect(page.locator("#projects")).to_contain_text("editor")
    page.fill("#tokens input[name=name]", "from the browser")
    page.get_by_role("button", name="Issue a token").click()
    token = page.locator("#secret").inner_text()
    assert not heard

    answer = requests.post(
        f"{platform.base_url}/mlflow/demo/demo/api/2.0/mlflow/experiments/create",
        json={"name": "by dana"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text

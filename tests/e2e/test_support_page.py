"""D19 in a browser: staff asks, an owner approves, and one organization opens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.running import DATABASES, FOREIGN, ROOT, Platform
from tests.e2e.test_admin_pages import CHROMIUM, SWITCHES

pytestmark = pytest.mark.browser

NAME, PASSWORD = "sam-of-support", "a password for one test"
REASON = "a failing upload, ticket 17"
LONG_MS = 30_000


@pytest.fixture(scope="module")
def page(platform: Platform, tmp_path_factory) -> Iterator[Page]:
    foreign = (*FOREIGN, *DATABASES)
    own = {name: os.environ[name] for name in os.environ if name not in foreign}
    place = {"VAR": str(platform.var), "PORT": str(platform.port)}
    subprocess.run(
        [sys.executable, "-m", "tests.e2e.support_staff", NAME],
        cwd=ROOT,
        env={**own, **place, "DJANGO_SETTINGS_MODULE": "mlops.settings"},
        input=PASSWORD.encode(),
        check=True,
    )
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path=CHROMIUM,
            args=SWITCHES,
            base_url=platform.base_url,
        )
        context.set_default_timeout(LONG_MS)
        yield context.pages[0]
        context.close()


def as_owner(platform: Platform, path: str) -> Any:
    """Ask REST as the demo organization's owner: POST when a verb ends the path."""
    token = platform.manage("issue_token", "--organization", "demo", "--user", "admin")
    request = urllib.request.Request(
        f"{platform.base_url}/api/v1/organizations/demo/{path}",
        data=b"{}" if path.endswith(("approve/", "revoke/")) else None,
        headers={
            "Authorization": f"Bearer {token['token']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def status_of(page: Page, address: str) -> int:
    answer = page.goto(address)
    assert answer is not None
    return answer.status


def test_staff_enters_by_a_grant_and_leaves_with_it(page: Page, platform: Platform):
    other = platform.make_tenant()
    page.goto("/admin/")
    page.fill("[name=login]", NAME)
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.get_by_role("link", name="Support grants").click()

    expect(page.get_by_text("None. Ask for one below.")).to_be_visible()
    page.fill("[name=organization]", "demo")
    page.fill("[name=reason]", REASON)
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_text("an owner has not decided yet")).to_be_visible()

    grant = as_owner(platform, "support-grants/")["results"][0]  # the newest
    assert (grant["staff"], grant["reason"]) == (NAME, REASON)
    as_owner(platform, f"support-grants/{grant['id']}/approve/")

    page.reload()
    page.get_by_role("button", name="Enter demo").click()
    expect(page.get_by_text("Support in demo until")).to_be_visible()
    page.goto("/admin/tenants/project/")
    listed = page.locator("#result_list")
    expect(listed).to_contain_text("sandbox")
    expect(listed).not_to_contain_text(other.project)
    assert status_of(page, "/admin/tenants/user/") == 403

    as_owner(platform, f"support-grants/{grant['id']}/revoke/")
    assert status_of(page, "/admin/tenants/project/") == 403
    looks = as_owner(platform, "audit-logs/?action=admin.viewed")["results"]
    assert "/admin/tenants/project/" in {look["after"]["path"] for look in looks}

"""D19 in a browser: staff asks, an owner approves, and one organization opens."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import context_of, sign_in
from tests.e2e.people import OF_SUPPORT, PASSWORD
from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.browser

REASON = "a failing upload, ticket 17"
# Ask REST as the demo organization's owner: POST when a verb ends the path.
AsOwner = Callable[[str], Any]


@pytest.fixture
def page(stored: Platform, chromium: Browser) -> Iterator[Page]:
    with context_of(chromium, stored.base_url) as context:
        yield context.new_page()


@pytest.fixture
def as_owner(platform: Platform) -> AsOwner:
    issued = platform.manage("issue_token", "--organization=demo", "--user=admin")
    headers = {
        "Authorization": f"Bearer {issued['token']}",
        "Content-Type": "application/json",
    }

    def ask(path: str) -> Any:
        address = f"{platform.base_url}/api/v1/organizations/demo/{path}"
        body = b"{}" if path.endswith(("approve/", "revoke/")) else None
        request = urllib.request.Request(address, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    return ask


def status_of(page: Page, address: str) -> int:
    answer = page.goto(address)
    assert answer is not None
    return answer.status


def test_staff_enters_by_a_grant_and_leaves_with_it(
    page: Page, as_owner: AsOwner, stranger: Tenant
) -> None:
    sign_in(page, OF_SUPPORT, PASSWORD)
    page.get_by_role("link", name="Support grants").click()

    expect(page.get_by_text("None. Ask for one below.")).to_be_visible()
    page.fill("[name=organization]", "demo")
    page.fill("[name=reason]", REASON)
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_text("an owner has not decided yet")).to_be_visible()

    grant = as_owner("support-grants/")["results"][0]  # the newest
    assert (grant["staff"], grant["reason"]) == (OF_SUPPORT, REASON)
    as_owner(f"support-grants/{grant['id']}/approve/")

    page.reload()
    page.get_by_role("button", name="Enter demo").click()
    expect(page.get_by_text("Support in demo until")).to_be_visible()
    page.goto("/admin/tenants/project/")
    listed = page.locator("#result_list")
    expect(listed).to_contain_text("sandbox")
    expect(listed).not_to_contain_text(stranger.project)
    assert status_of(page, "/admin/tenants/user/") == 403

    as_owner(f"support-grants/{grant['id']}/revoke/")
    assert status_of(page, "/admin/tenants/project/") == 403
    looks = as_owner("audit-logs/?action=admin.viewed")["results"]
    assert "/admin/tenants/project/" in {look["after"]["path"] for look in looks}

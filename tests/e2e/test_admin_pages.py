"""The admin in a browser: every page opens without a word on its console.

Against a whole platform, so that pages run as the roles of an installation do, and
static files are served as they are collected.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from tests.e2e.browsing import context_of, sign_in_admin, silent
from tests.e2e.running import Platform

pytestmark = pytest.mark.browser

# What each page must show, by its address below /admin/.
LISTS = {
    "": "Newest runs",
    "tenants/organization/": "Browsed",
    "tenants/project/": "Fraud",
    "tenants/membership/": "admin",
    "tenants/apitoken/": "first run",
    "tenants/user/": "admin",
    "registry/experiment/": "trees",
    "registry/run/": "1 file · 2.0 kB",
    "registry/registeredmodel/": "champion",
    "registry/modelversion/": "detector",
    "registry/package/": "ml_candidate_1",
    "registry/deployment/": "production",
    "registry/metric/": "val_auc",
    "monitoring/alert/": "latency_ms is 400, above 250",
    "monitoring/alertrule/": "slow",
    "monitoring/driftreport/": "drift",
    "monitoring/monitoringpoint/": "latency_ms",
    "procrastinate/procrastinatejob/": "jobs",
    "audit/auditlog/": "admin.viewed",
    "audit/auditlog/history/": "Whose history",
}
DETAILS = {
    "tenants/organization/": "What is in it",
    "tenants/project/": "What is in it",
    "registry/experiment/": "brisk-otter",
    "registry/run/": "max_depth",
    "registry/registeredmodel/": "champion",
    "registry/modelversion/": "Deployments",
    "registry/package/": "model/MLmodel",
    "registry/deployment/": "Drift reports",
    "monitoring/alert/": "Course",
    "monitoring/alertrule/": "Newest alerts",
    "monitoring/driftreport/": "amount",
    "audit/auditlog/": "Changes",
}


@pytest.fixture(scope="module")
def context(
    stored: Platform, chromium: Browser, admin_state: StorageState
) -> Iterator[BrowserContext]:
    with context_of(chromium, stored.base_url, admin_state) as context:
        context.new_page()
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """The one page of the administrator; its console must stay empty."""
    with silent(context.pages[0]) as page:
        yield page


def test_signing_in_leads_to_the_overview(stored: Platform, chromium: Browser) -> None:
    with (
        context_of(chromium, stored.base_url) as context,
        silent(context.new_page()) as page,
    ):
        sign_in_admin(page, stored)
        expect(page.locator("#main")).to_contain_text("Newest runs")


@pytest.mark.parametrize("address", LISTS)
def test_a_list_opens_in_the_browser(page: Page, address: str) -> None:
    answer = page.goto(f"/admin/{address}")
    assert answer is not None
    assert answer.status == 200
    expect(page.locator("#main")).to_contain_text(LISTS[address], ignore_case=True)


@pytest.mark.parametrize("address", DETAILS)
def test_a_row_opens_in_the_browser(page: Page, address: str) -> None:
    narrowed = "?action=registry.run.created" if address.startswith("audit") else ""
    page.goto(f"/admin/{address}{narrowed}")
    page.locator("#result_list tbody th a").first.click()
    page.wait_for_url("**/change/**")
    expect(page.locator("#main")).to_contain_text(DETAILS[address])


def test_a_run_draws_its_curve(page: Page) -> None:
    page.goto("/admin/registry/run/")
    page.get_by_role("link", name="brisk-otter").click()
    curve = page.get_by_role("img", name="val_auc: 0 to 0.89")
    expect(curve).to_be_visible()
    assert page.locator(".mp-curve polyline").count() == 1


def test_filters_open_and_narrow_the_list(page: Page) -> None:
    page.goto("/admin/registry/run/")
    page.locator("#changelist a", has_text="Filters").click()
    page.locator("#select2-id_status__exact-container").click()
    page.get_by_role("option", name="Failed").click()
    page.get_by_role("button", name="Apply Filters").click()
    page.wait_for_url("**status__exact=FAILED**")
    expect(page.locator("#main")).to_contain_text("No results found")


def test_an_alert_is_acknowledged_by_hand(page: Page) -> None:
    page.goto("/admin/monitoring/alert/")
    page.locator("#result_list .action-select").first.check()
    page.select_option("select[name=action]", "acknowledge")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Acknowledge 1 alert?")).to_be_visible()
    page.fill("[name=reason]", "on it")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#main")).to_contain_text("1 alert acknowledged.")


def test_a_token_is_issued_by_hand(page: Page, stored: Platform) -> None:
    page.goto("/admin/tenants/apitoken/add/")
    choose(page, "in_organization", "browsed")
    page.fill("[name=name]", "by hand")
    choose(page, "user", stored.connection["ADMIN_USERNAME"])
    page.get_by_role("button", name="Save", exact=True).click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("mlp_u_")


def choose(page: Page, field: str, words: str) -> None:
    page.locator(f"#select2-id_{field}-container").click()
    page.locator(".select2-search__field").last.fill(words)
    page.locator(".select2-results__option", has_text=words).first.click()


def test_the_palette_finds_a_row(page: Page) -> None:
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    expect(page.locator("#search-input-command")).to_be_focused()
    page.keyboard.type("brisk")
    expect(page.get_by_role("link", name="brisk-otter").last).to_be_visible()

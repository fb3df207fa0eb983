"""The admin in a browser: every page opens without a word on its console.

Against a whole platform, so that pages run as the roles of an installation do, and
static files are served as they are collected.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.running import DATABASES, FOREIGN, ROOT, Platform

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
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
def stored(platform: Platform) -> Platform:
    """The platform with a row on every page."""
    foreign = (*FOREIGN, *DATABASES)
    own = {name: os.environ[name] for name in os.environ if name not in foreign}
    place = {"VAR": str(platform.var), "PORT": str(platform.port)}
    settings = {"DJANGO_SETTINGS_MODULE": "mlops.settings"}
    command = [sys.executable, "-m", "tests.e2e.stored"]
    subprocess.run(command, cwd=ROOT, env={**own, **place, **settings}, check=True)
    return platform


@pytest.fixture(scope="module")
def browser_page(stored: Platform, tmp_path_factory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("chromium")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder,
            executable_path=CHROMIUM,
            args=SWITCHES,
            viewport={"width": 1440, "height": 900},
            base_url=stored.base_url,
        )
        yield context.pages[0]
        context.close()


@pytest.fixture
def page(browser_page: Page) -> Iterator[Page]:
    """The browser's page; a test fails on whatever the console hears meanwhile."""
    heard: list[str] = []

    def hear_message(message) -> None:
        heard.append(f"{message.type}: {message.text} ({browser_page.url})")

    def hear_error(error) -> None:
        heard.append(f"error: {error} ({browser_page.url})")

    browser_page.on("console", hear_message)
    browser_page.on("pageerror", hear_error)
    yield browser_page
    browser_page.remove_listener("console", hear_message)
    browser_page.remove_listener("pageerror", hear_error)
    assert heard == []


def test_signing_in_leads_to_the_overview(page: Page, stored: Platform) -> None:
    page.goto("/admin/")
    expect(page).to_have_title("Sign in | MLOps platform")
    page.fill("[name=login]", stored.connection["ADMIN_USERNAME"])
    page.fill("[name=password]", stored.connection["ADMIN_PASSWORD"])
    page.click("button[type=submit]")
    expect(page.get_by_role("heading", name="Open alerts")).to_be_visible()
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("address", LISTS)
def test_a_list_opens_in_the_browser(page: Page, address: str) -> None:
    answer = page.goto(f"/admin/{address}")
    page.wait_for_load_state("networkidle")
    assert answer is not None
    assert answer.status == 200
    expect(page.locator("#main")).to_contain_text(LISTS[address], ignore_case=True)


@pytest.mark.parametrize("address", DETAILS)
def test_a_row_opens_in_the_browser(page: Page, address: str) -> None:
    narrowed = "?action=registry.run.created" if address.startswith("audit") else ""
    page.goto(f"/admin/{address}{narrowed}")
    page.locator("#result_list tbody th a").first.click()
    page.wait_for_url("**/change/**")
    page.wait_for_load_state("networkidle")
    expect(page.locator("#main")).to_contain_text(DETAILS[address])


def test_a_run_draws_its_curve(page: Page) -> None:
    page.goto("/admin/registry/run/")
    page.get_by_role("link", name="brisk-otter").click()
    curve = page.get_by_role("img", name="val_auc: 0 to 0.89")
    expect(curve).to_be_visible()
    assert page.locator(".mp-curve polyline").count() == 1
    page.wait_for_load_state("networkidle")


def test_filters_open_and_narrow_the_list(page: Page) -> None:
    page.goto("/admin/registry/run/")
    page.locator("#changelist a", has_text="Filters").click()
    page.locator("#select2-id_status__exact-container").click()
    page.get_by_role("option", name="Failed").click()
    page.get_by_role("button", name="Apply Filters").click()
    page.wait_for_url("**status__exact=FAILED**")
    expect(page.locator("#main")).to_contain_text("No results found")
    page.wait_for_load_state("networkidle")


def test_an_alert_is_acknowledged_by_hand(page: Page) -> None:
    page.goto("/admin/monitoring/alert/")
    page.locator("#result_list .action-select").first.check()
    page.select_option("select[name=action]", "acknowledge")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Acknowledge 1 alert?")).to_be_visible()
    page.fill("[name=reason]", "on it")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#main")).to_contain_text("1 alert acknowledged.")
    page.wait_for_load_state("networkidle")


def test_a_token_is_issued_by_hand(page: Page, stored: Platform) -> None:
    page.goto("/admin/tenants/apitoken/add/")
    choose(page, "in_organization", "browsed")
    page.fill("[name=name]", "by hand")
    choose(page, "user", stored.connection["ADMIN_USERNAME"])
    page.get_by_role("button", name="Save", exact=True).click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("mlp_u_")
    page.wait_for_load_state("networkidle")


def choose(page: Page, field: str, words: str) -> None:
    page.locator(f"#select2-id_{field}-container").click()
    page.locator(".select2-search__field").last.fill(words)
    page.locator(".select2-results__option", has_text=words).first.click()


def test_the_palette_finds_a_row(page: Page) -> None:
    page.goto("/admin/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    page.keyboard.type("brisk")
    expect(page.get_by_role("link", name="brisk-otter").last).to_be_visible()
    page.wait_for_load_state("networkidle")

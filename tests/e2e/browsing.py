"""Chromium as these tests drive it, and what a page says on its console meanwhile.

Nothing here waits for an idle network: with requests that all have ended, Playwright
may wait for it in vain. What a test awaits, it names.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    StorageState,
    expect,
    sync_playwright,
)

from tests.e2e.running import Platform

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
# A machine that runs other tests as well answers late, which is no failure of a page.
expect.set_options(timeout=20_000)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if not program:
        pytest.fail("Chromium is needed: install it, or run pytest -m 'not browser'.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=SWITCHES)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def context_of(
    browser: Browser, base_url: str, state: StorageState | None = None
) -> Iterator[BrowserContext]:
    """Cookies and stored items of its own, those of `state` to begin with."""
    context = browser.new_context(
        base_url=base_url, storage_state=state, viewport={"width": 1440, "height": 900}
    )
    try:
        yield context
    finally:
        context.close()


def sign_in(page: Page, username: str, password: str) -> None:
    page.goto("/admin/")
    expect(page).to_have_title("Sign in | MLOps platform")
    page.fill("[name=login]", username)
    page.fill("[name=password]", password)
    page.click("button[type=submit]")


def sign_in_admin(page: Page, platform: Platform) -> None:
    own = platform.connection
    sign_in(page, own["ADMIN_USERNAME"], own["ADMIN_PASSWORD"])
    expect(page.get_by_role("heading", name="Open alerts")).to_be_visible()


@contextmanager
def silent(page: Page) -> Iterator[Page]:
    """Fail at the end if the console has heard anything meanwhile."""
    heard: list[str] = []

    def hear_message(message) -> None:
        heard.append(f"{message.type}: {message.text} ({page.url})")

    def hear_error(error) -> None:
        heard.append(f"error: {error} ({page.url})")

    page.on("console", hear_message)
    page.on("pageerror", hear_error)
    yield page
    page.wait_for_load_state("load")
    page.remove_listener("console", hear_message)
    page.remove_listener("pageerror", hear_error)
    assert heard == []

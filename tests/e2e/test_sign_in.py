"""Signing in as a person does, in a browser: with an app's code and with a key.

By the name localhost: browsers offer security keys for names only, never for numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tenants.tests.browser import code
from tests.e2e.browsing import context_of, silent
from tests.e2e.people import PASSWORD, WITH_APP, WITH_KEY
from tests.e2e.running import Platform

pytestmark = pytest.mark.browser


@pytest.fixture
def page(stored: Platform, chromium: Browser) -> Iterator[Page]:
    """A page without cookies, whose console must stay empty."""
    with (
        context_of(chromium, f"http://localhost:{stored.port}") as context,
        silent(context.new_page()) as page,
    ):
        yield page


def give_password(page: Page, username: str) -> None:
    page.goto("/accounts/login/")
    expect(page).to_have_title("Sign in | MLOps platform")
    page.fill("[name=login]", username)
    page.fill("[name=password]", PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def confirm_password(page: Page) -> None:
    page.fill("[name=password]", PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def sign_out(page: Page) -> None:
    page.goto("/accounts/logout/")
    page.locator("main").get_by_role("button", name="Sign Out").click()
    expect(page).to_have_title("Sign in | MLOps platform")


def opens_the_admin(page: Page) -> None:
    page.goto("/admin/")
    expect(page.get_by_role("heading", name="Open alerts")).to_be_visible()


def test_app_is_set_up_and_its_code_signs_in(page: Page) -> None:
    give_password(page, WITH_APP)
    page.goto("/accounts/2fa/totp/activate/")
    confirm_password(page)
    expect(page.locator("img.picture")).to_be_visible()
    secret = page.input_value("#authenticator_secret")
    page.fill("[name=code]", code(secret))
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("heading", name="Recovery Codes")).to_be_visible()
    assert len(page.input_value("#recovery_codes").split()) == 10
    sign_out(page)

    give_password(page, WITH_APP)
    page.fill("[name=code]", "000000")
    page.get_by_role("button", name="Sign In", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Incorrect code")
    page.fill("[name=code]", code(secret))
    page.get_by_role("button", name="Sign In", exact=True).click()
    opens_the_admin(page)


@pytest.fixture
def security_key(page: Page) -> Callable[[], int]:
    """Plug in a key that answers by itself; return how often it has been used."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "usb",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    name = {"authenticatorId": made["authenticatorId"]}

    def uses() -> int:
        (held,) = session.send("WebAuthn.getCredentials", name)["credentials"]
        count: int = held["signCount"]
        return count

    return uses


def test_key_is_added_and_signs_in(page: Page, security_key: Callable[[], int]) -> None:
    give_password(page, WITH_KEY)
    page.goto("/accounts/2fa/webauthn/add/")
    confirm_password(page)
    page.fill("[name=name]", "Blue key")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Recovery Codes")).to_be_visible()
    page.goto("/accounts/2fa/webauthn/")
    expect(page.get_by_role("cell", name="Blue key")).to_be_visible()
    before = security_key()
    sign_out(page)

    give_password(page, WITH_KEY)
    page.wait_for_url("**/2fa/authenticate/")
    page.get_by_role("button", name="Use a security key").click()
    page.wait_for_url(lambda url: "authenticate" not in url)
    opens_the_admin(page)
    assert security_key() > before

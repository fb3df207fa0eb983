"""People at the sign-in pages, and the codes of their authenticator apps."""

from __future__ import annotations

import time
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value

from conftest import WebClient
from tenants.models import User
from tenants.tests.factories import UserFactory

PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple the other horse"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def make_person(username: str = "carol", **fields: Any) -> User:
    user = UserFactory(username=username, email=f"{username}@example.com", **fields)
    user.set_password(PASSWORD)
    user.save()
    return user


def sign_in(
    browser: WebClient, login: str = "carol", password: str = PASSWORD, **more: Any
) -> Any:
    body = {"login": login, "password": password}
    return browser.post("/accounts/login/", body, **more)


def signed_in_browser(user: User) -> WebClient:
    """Signed in through the form, as a person does it."""
    browser = WebClient()
    answer = sign_in(browser, user.username)
    assert answer.status_code == 302, answer.content
    return browser


def is_signed_in(browser: WebClient) -> bool:
    return browser.get("/accounts/sessions/").status_code == 200


def give_app(user: User) -> Authenticator:
    """Set up an authenticator app, and the recovery codes that come with it."""
    RecoveryCodes.activate(user)
    return TOTP.activate(user, SECRET).instance


def code(secret: str = SECRET, *, steps: int = 0) -> str:
    """What an authenticator app shows now, or so many half minutes away."""
    counter = int(time.time()) // 30 + steps
    return format_hotp_value(hotp_value(secret, counter))

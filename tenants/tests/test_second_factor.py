"""Second factors: set up, asked for, required, reset, and never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.db import connection

from audit.tests.trail import entries, only_entry
from conftest import WebClient
from mlops.encryption import Undecryptable, decrypt, encrypt
from tenants.accounts.adapters import PURPOSE
from tenants.models import User
from tenants.tests.browser import (
    PASSWORD,
    SECRET,
    code,
    give_app,
    is_signed_in,
    make_person,
    sign_in,
    signed_in_browser,
)
from tenants.tests.superuser import messages_of, superuser

AUTHENTICATE = "/accounts/2fa/authenticate/"


@pytest.fixture
def carol(db) -> User:
    return make_person()


@pytest.fixture
def root(db) -> User:
    return make_person("root", is_staff=True, is_superuser=True)


@pytest.fixture
def erin(transactional_db) -> Iterator[User]:
    """Committed, so that what is to happen after a commit does happen."""
    person = make_person("erin")
    yield person
    person.delete()


def confirm(browser: WebClient) -> None:
    browser.post("/accounts/reauthenticate/", {"password": PASSWORD})


def set_up_app(browser: WebClient) -> str:
    """Go through the pages as a person does; return the secret that was shown."""
    confirm(browser)
    page = browser.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    answer = browser.post("/accounts/2fa/totp/activate/", {"code": code(secret)})
    assert answer.status_code == 302, answer.content
    return secret


# Setting up


def test_setting_up_asks_for_the_password_again(carol):
    answer = signed_in_browser(carol).get("/accounts/2fa/totp/activate/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/reauthenticate/")


def test_a_wrong_code_sets_nothing_up(carol):
    browser = signed_in_browser(carol)
    confirm(browser)
    browser.get("/accounts/2fa/totp/activate/")
    browser.post("/accounts/2fa/totp/activate/", {"code": "000000"})
    assert not Authenticator.objects.exists()


def test_an_app_is_set_up_and_asked_for_at_the_next_sign_in(
    carol, django_capture_on_commit_callbacks
):
    browser = signed_in_browser(carol)
    with django_capture_on_commit_callbacks(execute=True):
        secret = set_up_app(browser)
    kinds = {each.after["kind"] for each in entries(action="user.second_factor_added")}
    assert kinds == {"totp", "recovery_codes"}

    again = WebClient()
    assert sign_in(again)["Location"] == AUTHENTICATE
    assert not is_signed_in(again), "the password alone"
    again.post(AUTHENTICATE, {"code": code(secret)})
    assert is_signed_in(again)


def test_the_key_of_a_session_changes_with_its_factors(erin):
    browser = signed_in_browser(erin)
    keys = [browser.session.session_key]
    for address in ("/accounts/2fa/totp/deactivate/", ""):
        set_up_app(browser)
        keys.append(browser.session.session_key)
        if address:
            browser.post(address)
            keys.append(browser.session.session_key)
    assert len(set(keys)) == len(keys) == 4
    assert is_signed_in(browser)


# Asked for


@pytest.mark.parametrize("given", ["", "000000", "abc", "9" * 5000])
def test_a_wrong_code_signs_nobody_in(carol, given):
    give_app(carol)
    browser = WebClient()
    sign_in(browser)
    assert browser.post(AUTHENTICATE, {"code": given}).status_code == 200
    assert not is_signed_in(browser)


@pytest.mark.parametrize("steps,good", [(-1, True), (0, True), (1, True), (-3, False)])
def test_a_code_is_good_for_a_minute_or_so(carol, steps, good):
    give_app(carol)
    browser = WebClient()
    sign_in(browser)
    browser.post(AUTHENTICATE, {"code": code(steps=steps)})
    assert is_signed_in(browser) is good


def test_a_code_is_good_once(carol, settings):
    """In another worker, too: what allauth remembers stays in its own process."""
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    }
    give_app(carol)
    now = code()
    first, second = WebClient(), WebClient()
    for browser in (first, second):
        sign_in(browser)
        browser.post(AUTHENTICATE, {"code": now})
    assert (is_signed_in(first), is_signed_in(second)) == (True, False)


def test_a_recovery_code_is_good_once(carol):
    give_app(carol)
    row = Authenticator.objects.get(user=carol, type="recovery_codes")
    spare = row.wrap().get_unused_codes()[0]
    outcomes = []
    for _ in range(2):
        browser = WebClient()
        sign_in(browser)
        browser.post(AUTHENTICATE, {"code": spare})
        outcomes.append(is_signed_in(browser))
    assert outcomes == [True, False]


def test_the_page_for_the_code_opens_only_behind_the_password(db):
    assert WebClient().get(AUTHENTICATE)["Location"] == "/accounts/login/"


def test_the_entry_of_a_sign_in_says_that_both_were_shown(carol):
    give_app(carol)
    browser = WebClient()
    sign_in(browser)
    browser.post(AUTHENTICATE, {"code": code()})
    assert only_entry(action="user.signed_in").after["methods"] == ["password", "mfa"]


# Required


def test_staff_without_one_reaches_nothing_of_the_admin(root, settings):
    settings.REQUIRE_MFA = True
    browser = signed_in_browser(root)
    for method in ("get", "post"):
        for address in ("/admin/", "/admin/tenants/user/", "/admin/search/"):
            answer = getattr(browser, method)(address)
            assert (answer.status_code, answer["Location"]) == (302, "/accounts/2fa/")
    page = browser.get("/admin/", follow=True)
    assert any("second factor first" in each for each in messages_of(page))
    assert browser.post("/admin/logout/").status_code == 200


def test_recovery_codes_alone_are_no_second_factor(root, settings):
    settings.REQUIRE_MFA = True
    give_app(root)
    Authenticator.objects.filter(type="totp").delete()
    answer = signed_in_browser(root).get("/admin/")
    assert answer["Location"] == "/accounts/2fa/"


def test_staff_with_one_enters(root, settings):
    settings.REQUIRE_MFA = True
    client = superuser(username="chief")
    give_app(client.user)
    assert client.get("/admin/").status_code == 200


def test_it_is_optional_where_nothing_requires_it(db):
    assert superuser().get("/admin/").status_code == 200


# Taken away


def test_taking_an_app_away_asks_for_the_password_and_is_an_entry(
    carol, django_capture_on_commit_callbacks
):
    browser = signed_in_browser(carol)
    give_app(carol)
    answer = browser.post("/accounts/2fa/totp/deactivate/")
    assert "reauthenticate" in answer["Location"]
    confirm(browser)
    with django_capture_on_commit_callbacks(execute=True):
        browser.post("/accounts/2fa/totp/deactivate/")
    assert not Authenticator.objects.exists()
    assert entries(action="user.second_factor_removed")


def test_the_admin_resets_it_with_a_reason(carol):
    browser = signed_in_browser(carol)
    give_app(carol)
    superuser().act(
        "reset_second_factor", carol, confirmed="1", reason="telephone lost"
    )
    assert not Authenticator.objects.exists()
    entry = only_entry(action="user.second_factor_reset")
    assert entry.reason == "telephone lost"
    assert entry.after["kinds"] == ["recovery_codes", "totp"]
    assert not is_signed_in(browser)
    assert sign_in(WebClient())["Location"] != AUTHENTICATE


def test_there_is_nothing_to_reset_without_one(carol):
    done = superuser().act("reset_second_factor", carol, confirmed="1")
    assert any("carol has no second factor" in each for each in messages_of(done))


def test_an_operator_resets_it_with_a_reason(carol, capsys):
    give_app(carol)
    words = {"reason": "telephone lost", "yes": True, "json": True}
    call_command("reset_second_factor", "carol", **words)
    assert json.loads(capsys.readouterr().out)["taken"] == 2
    entry = only_entry(action="user.second_factor_reset")
    assert (entry.actor_label, entry.reason) == (
        "reset_second_factor",
        "telephone lost",
    )


REFUSED = [
    ("carol", {"yes": True}, "has no second factor"),
    ("nobody", {"yes": True}, "nobody of that name"),
    ("carol", {}, "Add --yes"),
]


@pytest.mark.parametrize("username,options,reason", REFUSED)
def test_an_operator_hears_why_nothing_was_reset(carol, username, options, reason):
    with pytest.raises(CommandError, match=reason) as refused:
        call_command("reset_second_factor", username, reason="lost", **options)
    assert refused.value.returncode == 64


def test_a_dry_run_resets_nothing(carol, capsys):
    give_app(carol)
    call_command("reset_second_factor", "carol", reason="lost", dry_run=True)
    assert "Would take" in capsys.readouterr().out
    assert Authenticator.objects.count() == 2


# I6: the secrets


def test_secrets_rest_encrypted(carol):
    give_app(carol)
    with connection.cursor() as cursor:
        cursor.execute("SELECT data::text FROM mfa_authenticator WHERE type = 'totp'")
        stored = cursor.fetchone()[0]
    assert SECRET not in stored
    assert decrypt(json.loads(stored)["secret"], purpose=PURPOSE) == SECRET


def test_secrets_appear_in_no_entry_and_no_page(carol):
    row = give_app(carol)
    known = [SECRET, row.data["secret"]]
    codes = Authenticator.objects.get(type="recovery_codes")
    known += [codes.data["seed"], *codes.wrap().generate_codes()]
    page = superuser().opened(carol).content.decode()
    trail = json.dumps([[e.before, e.after] for e in entries()], default=str)
    assert "mfa.authenticator.created" in {e.action for e in entries()}
    assert not [secret for secret in known if secret in page + trail]


def test_allauths_own_pages_are_not_in_the_admin():
    packages = {model._meta.app_label for model in admin.site._registry}
    assert packages.isdisjoint({"account", "mfa", "usersessions"})


def test_a_changed_key_still_opens_what_the_old_one_closed(settings):
    closed = encrypt("text", purpose="a")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key, as long as a key should be"
    assert decrypt(closed, purpose="a") == "text"
    assert decrypt(encrypt("new", purpose="a"), purpose="a") == "new"


def test_another_key_or_purpose_opens_nothing(settings):
    closed = encrypt("text", purpose="a")
    with pytest.raises(Undecryptable):
        decrypt(closed, purpose="b")
    settings.SECRET_KEY = "another key, as long as a key should be"
    with pytest.raises(Undecryptable):
        decrypt(closed, purpose="a")

"""Signing in and out on /accounts/, and what these pages refuse."""

from __future__ import annotations

import re
from unittest import mock
from urllib.parse import quote_from_bytes

import pytest
from django.contrib.auth import hashers
from django.core import mail

from audit.tests.trail import entries, only_entry
from conftest import WebClient
from mlops import settings as installation
from mlops import throttles
from mlops.settings import env
from tenants.models import User
from tenants.tests.browser import (
    NEW_PASSWORD,
    PASSWORD,
    is_signed_in,
    make_person,
    sign_in,
    signed_in_browser,
)

FORM = "application/x-www-form-urlencoded"
MISMATCH = "do not belong together"


@pytest.fixture
def carol(db) -> User:
    return make_person()


@pytest.mark.parametrize("login", ["carol", "CAROL", "carol@example.com", "Carol@X"])
def test_a_person_signs_in_by_name_or_mail(carol, login):
    browser = WebClient()
    answer = sign_in(browser, login.replace("@X", "@Example.com"))
    assert answer.status_code == 302
    assert is_signed_in(browser)


WRONG = [
    ("wrong password", "carol", "correct horse battery!"),
    ("unknown user", "carla", PASSWORD),
    ("unknown e-mail", "carla@example.com", PASSWORD),
    ("no password", "carol", ""),
    ("no login", "", PASSWORD),
    ("another's e-mail as a prefix", "carol@example.co", PASSWORD),
]


@pytest.mark.parametrize("_case,login,password", WRONG)
def test_a_wrong_pair_signs_nobody_in(carol, _case, login, password):
    browser = WebClient()
    assert sign_in(browser, login, password).status_code == 200
    assert not is_signed_in(browser)


def test_wrong_password_unknown_user_and_inactive_one_answer_alike(carol):
    make_person("dora", is_active=False)
    pairs = [("carol", "not it at all"), ("carla", PASSWORD), ("dora", PASSWORD)]
    pages = [sign_in(WebClient(), *pair).content.decode() for pair in pairs]
    pages = [
        re.sub(r'value="(carol|carla|dora)"|name="csrf.*?>', "", page) for page in pages
    ]
    assert MISMATCH in pages[0]
    assert pages[0] == pages[1] == pages[2]


def test_two_names_that_differ_in_case_are_told_apart(carol):
    make_person("CAROL2")
    upper = User.objects.create_user("Carol", "c2@example.com", NEW_PASSWORD)
    browser = WebClient()
    sign_in(browser, "Carol", NEW_PASSWORD)
    assert browser.session["_auth_user_id"] == str(upper.pk)
    ambiguous = WebClient()
    sign_in(ambiguous, "cAROL", NEW_PASSWORD)
    assert not is_signed_in(ambiguous)


# C12: as many hashes for whom we know as for whom we do not


@pytest.mark.parametrize("login", ["carol", "carol@example.com", "carla", "c@x.org"])
def test_one_password_is_hashed_whoever_signs_in(carol, login):
    hasher = hashers.get_hasher()
    with mock.patch.object(
        type(hasher), "encode", autospec=True, side_effect=type(hasher).encode
    ) as encode:
        sign_in(WebClient(), login, "wrong as can be")
    assert encode.call_count == 1


def test_scrypt_comes_first_in_an_installation():
    assert installation.PASSWORD_HASHERS[0].endswith("ScryptPasswordHasher")


# C10: nobody signs up


@pytest.mark.parametrize("method", ["get", "post"])
def test_sign_up_is_closed(db, method):
    body = {
        "username": "eve",
        "email": "eve@example.com",
        "password1": PASSWORD,
        "password2": PASSWORD,
    }
    answer = getattr(WebClient(), method)("/accounts/signup/", body)
    assert answer.status_code == 403
    assert b"invitation" in answer.content
    assert not User.objects.filter(username="eve").exists()


# C8, E4: forms are taken from our own pages only


def cross_site(**headers: str) -> WebClient:
    return WebClient(enforce_csrf_checks=True, headers=headers)


FORMS = [
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/logout/",
    "/accounts/password/change/",
    "/accounts/password/reset/",
    "/accounts/2fa/totp/activate/",
    "/accounts/email/",
    "/accounts/sessions/",
]


@pytest.mark.parametrize("address", FORMS)
def test_a_form_without_our_token_is_refused(carol, address):
    browser = cross_site()
    browser.force_login(carol)
    answer = browser.post(address, {"login": "carol", "password": PASSWORD})
    assert answer.status_code == 403
    assert b"load the page again" in answer.content


FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_from_elsewhere_is_refused_although_it_knows_the_token(carol, headers):
    browser = cross_site(**headers)
    browser.get("/accounts/login/")
    token = browser.cookies["csrftoken"].value
    body = {"login": "carol", "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert browser.post("/accounts/login/", body).status_code == 403
    assert not is_signed_in(browser)


def test_a_form_of_our_own_is_taken(carol):
    browser = cross_site(origin="http://testserver")
    browser.get("/accounts/login/")
    token = browser.cookies["csrftoken"].value
    body = {"login": "carol", "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert browser.post("/accounts/login/", body).status_code == 302


# E13: what follows stays on this host

ELSEWHERE = [
    "//evil.example",
    "https:evil.example",
    "https://evil.example/admin/",
    "\\\\evil.example",
    "/\\evil.example",
    "\\evil.example",
    "javascript:alert(1)",
    "http:///evil.example",
    "///evil.example",
    "\x09//evil.example",
    "https://testserver.evil.example",
    "https://testserver@evil.example",
]


@pytest.mark.parametrize("wanted", ELSEWHERE)
@pytest.mark.parametrize("where", ["query", "form"])
def test_signing_in_never_leads_elsewhere(carol, wanted, where, settings):
    settings.ALLOWED_HOSTS = ["testserver", "evil.example"]
    browser = WebClient()
    body = {"login": "carol", "password": PASSWORD}
    if where == "form":
        answer = browser.post("/accounts/login/", {**body, "next": wanted})
    else:
        answer = browser.post("/accounts/login/", body, query_params={"next": wanted})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/")
    assert "evil" not in answer["Location"]


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_the_admins_sign_in_leads_to_ours_and_nowhere_else(db, wanted, settings):
    settings.ALLOWED_HOSTS = ["testserver", "evil.example"]
    answer = WebClient().get("/admin/login/", {"next": wanted})
    assert answer["Location"] == "/accounts/login/?next=%2Fadmin%2F"


def test_a_page_that_was_asked_for_follows(carol):
    asked = WebClient().get("/accounts/password/change/")
    assert asked["Location"] == "/accounts/login/?next=/accounts/password/change/"
    answer = sign_in(WebClient(), query_params={"next": "/accounts/password/change/"})
    assert answer["Location"] == "/accounts/password/change/"


@pytest.mark.parametrize("is_staff,follows", [(True, "/admin/"), (False, "/accounts/")])
def test_who_asked_for_no_page_gets_to_where_they_may_be(db, is_staff, follows):
    make_person(is_staff=is_staff)
    assert sign_in(WebClient())["Location"] == follows


# The admin has no sign-in of its own


def test_the_admins_form_signs_nobody_in(db):
    root = make_person("root", is_staff=True, is_superuser=True)
    browser = WebClient()
    answer = browser.post(
        "/admin/login/", {"username": root.username, "password": PASSWORD}
    )
    assert answer["Location"].startswith("/accounts/login/")
    assert not is_signed_in(browser)


def test_who_is_no_staff_hears_so_instead_of_being_sent_in_circles(carol):
    answer = signed_in_browser(carol).get("/admin/", follow=True)
    assert answer.status_code == 403
    assert b"signed in as none" in answer.content


# Sign-out


def test_signing_out_ends_the_session_on_the_server(carol):
    browser = signed_in_browser(carol)
    stolen = WebClient()
    stolen.cookies["sessionid"] = browser.cookies["sessionid"].value
    assert is_signed_in(stolen)
    assert browser.get("/accounts/logout/").status_code == 200
    assert is_signed_in(stolen), "looking at the page signs nobody out"
    browser.post("/accounts/logout/")
    assert not is_signed_in(stolen)


# Passwords

WEAK = [
    ("eleven characters", "aB3$xY9!kLm", "at least 12"),
    ("common", "password1234", "too common"),
    ("like the e-mail", "carol@example", "too similar"),
    ("two different", PASSWORD, "must type the same"),
]


@pytest.mark.parametrize("_case,password,reason", WEAK)
def test_a_weak_password_is_refused_and_says_why(carol, _case, password, reason):
    browser = signed_in_browser(carol)
    again = NEW_PASSWORD if "same" in reason else password
    body = {"oldpassword": PASSWORD, "password1": password, "password2": again}
    answer = browser.post("/accounts/password/change/", body)
    assert answer.status_code == 200
    assert reason in answer.content.decode()


def test_a_password_needs_no_special_characters(carol):
    browser = signed_in_browser(carol)
    assert change_password(browser).status_code == 302


def change_password(browser: WebClient, old: str = PASSWORD):
    words = "quiet river seven"
    body = {"oldpassword": old, "password1": words, "password2": words}
    return browser.post("/accounts/password/change/", body)


def test_a_password_is_reset_by_mail(carol, django_capture_on_commit_callbacks):
    stranger = WebClient()
    with django_capture_on_commit_callbacks(execute=True):
        answer = stranger.post("/accounts/password/reset/", {"email": carol.email})
    assert answer.status_code == 302
    (message,) = mail.outbox
    assert message.to == [carol.email]
    address = re.search(r"http://127\.0\.0\.1:\d+(/\S+)", message.body).group(1)
    form = stranger.get(address, follow=True)
    assert form.status_code == 200
    there = form.redirect_chain[-1][0]
    body = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert stranger.post(there, body).status_code == 302
    assert not is_signed_in(stranger), "a link in a mail signs nobody in"
    assert sign_in(WebClient(), password=PASSWORD).status_code == 200
    assert sign_in(WebClient(), password=NEW_PASSWORD).status_code == 302
    again = WebClient().get(address, follow=True)
    assert b"invalid" in again.content.lower()
    assert only_entry(action="user.password_reset").object_id == carol.pk


def test_a_mail_names_our_address_whatever_host_was_asked(
    carol, settings, django_capture_on_commit_callbacks
):
    settings.ALLOWED_HOSTS = ["testserver", "evil.example"]
    browser = WebClient(headers={"host": "evil.example"})
    with django_capture_on_commit_callbacks(execute=True):
        browser.post("/accounts/password/reset/", {"email": carol.email})
    assert "evil.example" not in mail.outbox[0].body


def test_asking_for_a_reset_tells_not_who_is_known(carol):
    answers = [
        WebClient().post("/accounts/password/reset/", {"email": email})
        for email in (carol.email, "nobody@example.com")
    ]
    assert [a.status_code for a in answers] == [302, 302]
    assert answers[0]["Location"] == answers[1]["Location"]


@pytest.fixture
def limits(settings):
    """As an installation has them; what a process remembers outlives a test."""
    settings.THROTTLES = installation.THROTTLES
    throttles._refused.clear()
    yield
    throttles._refused.clear()


def test_mails_are_limited_for_each_address(carol, limits):
    body = {"email": carol.email}
    statuses = []
    for _ in range(12):
        answer = WebClient().post("/accounts/password/reset/", body)
        statuses.append(answer.status_code)
    assert statuses == [302] * 10 + [429] * 2
    assert int(answer["Retry-After"]) >= 60
    elsewhere = WebClient(REMOTE_ADDR="203.0.113.9")
    assert elsewhere.post("/accounts/password/reset/", body).status_code == 302


def test_forms_are_limited_for_each_address(db, limits, settings):
    assert installation.THROTTLES["account_form"] == env.rate("", "60/min")
    # By the hour: a slow machine must not earn new tries meanwhile.
    settings.THROTTLES = settings.THROTTLES | {"account_form": env.rate("", "60/h")}
    statuses = [WebClient().post("/accounts/signup/").status_code for _ in range(63)]
    assert statuses == [403] * 60 + [429] * 3


# Hostile text

HOSTILE = [
    ("NUL", b"a\x00b"),
    ("lone surrogate", b"\xed\xa0\x80"),
    ("no UTF-8", b"\xff\xfe"),
    ("long", b"x" * 20_000),
]
NAMES = "login password oldpassword password1 password2 email code credential next"
OPEN = ["login", "password/reset", "confirm-email/1", "password/reset/key/1-1"]
MINE = [
    "reauthenticate",
    "password/change",
    "email",
    "2fa/totp/activate",
    "2fa/webauthn/add",
    "2fa/reauthenticate",
    "sessions/1/end",
]


@pytest.mark.parametrize("_case,text", HOSTILE)
def test_no_form_fails_over_hostile_text(carol, _case, text):
    names = dict.fromkeys(NAMES.split(), text) | {"action_add": b"1"}
    body = "&".join(f"{name}={quote_from_bytes(each)}" for name, each in names.items())
    mine = signed_in_browser(carol)
    for browser, pages in ((WebClient(), OPEN), (mine, MINE)):
        for page in pages:
            answer = browser.post(f"/accounts/{page}/", body, content_type=FORM)
            assert answer.status_code < 500, page


# The trail


def test_signing_in_and_out_are_entries_that_name_the_person_by_id(carol):
    browser = signed_in_browser(carol)
    browser.post("/accounts/logout/")
    for action in ("user.signed_in", "user.signed_out"):
        entry = only_entry(action=action)
        assert (entry.actor_kind, entry.actor_id) == ("user", carol.pk)
        assert entry.object_id == carol.pk
        assert entry.organization_id is None
        assert "carol" not in str(entry.after)


def test_a_bad_sign_in_is_an_entry_without_what_was_typed(carol):
    sign_in(WebClient(), password="hunter2hunter2")
    sign_in(WebClient(), "hunter3hunter3", PASSWORD)
    known, unknown = entries(action="user.sign_in_failed")
    assert (known.object_id, unknown.object_id) == (carol.pk, None)
    assert {known.outcome, unknown.outcome} == {"failed"}
    assert {known.actor_kind, unknown.actor_kind} == {"anonymous"}
    assert "hunter" not in str([vars(known), vars(unknown)])


def test_changing_the_password_is_an_entry(carol):
    change_password(signed_in_browser(carol))
    assert only_entry(action="user.password_changed").actor_id == carol.pk
    changed = entries(action="tenants.user.updated", object_id=carol.pk)[-1]
    assert changed.actor_id == carol.pk
    assert changed.after["password"]["redacted"]


# What the pages are made of


@pytest.mark.parametrize(
    "address",
    ["/accounts/login/", "/accounts/password/reset/", "/accounts/signup/", "/nowhere"],
)
def test_a_page_runs_nothing_inline(db, address):
    assert_nothing_inline(WebClient().get(address))


@pytest.mark.parametrize(
    "address",
    [
        "/accounts/password/change/",
        "/accounts/email/",
        "/accounts/2fa/",
        "/accounts/sessions/",
        "/accounts/logout/",
    ],
)
def test_a_page_of_mine_runs_nothing_inline(carol, address):
    assert_nothing_inline(signed_in_browser(carol).get(address))


def assert_nothing_inline(response) -> None:
    page = response.content.decode()
    assert response.status_code in (200, 403, 404)
    assert "MLOps platform" in page
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    for script in re.findall(r"<script([^>]*)>", page):
        assert "src=" in script or 'type="application/json"' in script
    assert "unsafe" not in response.get("Content-Security-Policy", "")

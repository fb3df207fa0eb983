"""Sessions: how long they last, what ends them, and who sees them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditLog
from audit.tests.trail import only_entry
from conftest import Cast, WebClient, client_of
from mlops.browsers import BEGAN, NOTED_EVERY_SECONDS, SEEN
from tenants.context import EVERY, Actor, binding
from tenants.models import Membership, Organization, ProjectMember, User
from tenants.services import sessions as services
from tenants.tests.browser import (
    NEW_PASSWORD,
    PASSWORD,
    give_app,
    is_signed_in,
    make_person,
    signed_in_browser,
)
from tenants.tests.factories import MembershipFactory, make_api_token
from tenants.tests.superuser import superuser

HOUR = 3600


@pytest.fixture
def carol(db) -> User:
    return make_person()


@pytest.fixture
def browsers(carol) -> list[WebClient]:
    return [signed_in_browser(carol) for _ in range(3)]


def age(browser: WebClient, **seconds: int) -> None:
    """Let the session have begun, or been seen, so many seconds ago."""
    session = browser.session
    for name, ago in seconds.items():
        session[{"began": BEGAN, "seen": SEEN}[name]] = int(time.time()) - ago
    session.save()


# How long


def test_a_session_ends_two_hours_after_its_last_sign(carol):
    browser = signed_in_browser(carol)
    age(browser, seen=2 * HOUR - 30)
    assert is_signed_in(browser)
    age(browser, seen=2 * HOUR + 5)
    assert not is_signed_in(browser)
    age_is_gone = Session.objects.filter(session_key=browser.session.session_key)
    assert not age_is_gone.exists()


def test_a_session_ends_twelve_hours_after_its_start_however_busy(carol):
    browser = signed_in_browser(carol)
    age(browser, began=12 * HOUR - 30, seen=90)
    assert is_signed_in(browser)
    age(browser, began=12 * HOUR + 5, seen=0)
    assert not is_signed_in(browser)


def test_a_request_writes_nothing_within_a_minute(carol):
    browser = signed_in_browser(carol)
    is_signed_in(browser)
    with CaptureQueriesContext(connection) as captured:
        browser.get("/accounts/2fa/")
    assert not [q for q in captured if q["sql"].startswith(("UPDATE", "INSERT"))]


def test_a_request_notes_after_a_minute_that_the_session_was_seen(carol):
    browser = signed_in_browser(carol)
    age(browser, seen=NOTED_EVERY_SECONDS + 1)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    UserSession.objects.update(last_seen_at=long_ago)
    browser.get("/accounts/2fa/")
    assert browser.session[SEEN] >= time.time() - 5
    assert UserSession.objects.get().last_seen_at > long_ago


def test_the_key_changes_with_the_sign_in(carol):
    browser = WebClient()
    session = browser.session
    session["planted"] = "by somebody who knows the key"
    session.save()
    before = browser.cookies["sessionid"].value
    browser.post("/accounts/login/", {"login": "carol", "password": PASSWORD})
    assert is_signed_in(browser)
    assert browser.cookies["sessionid"].value != before
    assert not Session.objects.filter(session_key=before).exists()


def test_a_token_touches_no_session(alice):
    with CaptureQueriesContext(connection) as captured:
        assert alice.get("/api/v1/organizations/").status_code == 200
    assert not [q for q in captured if "session" in q["sql"] and "SET" not in q["sql"]]


# C13: what ends all sessions


def test_changing_the_password_ends_the_other_sessions(browsers):
    first, *others = browsers
    body = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    first.post("/accounts/password/change/", {**body, "oldpassword": PASSWORD})
    assert is_signed_in(first)
    assert [is_signed_in(each) for each in others] == [False, False]


def change_password(browser: WebClient, **more: str) -> None:
    body = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, **more}
    done = browser.post("/accounts/password/change/", {**body, "oldpassword": PASSWORD})
    assert done.status_code == 302


def tokens_of(carol: User, *organizations: Organization) -> list[WebClient]:
    for organization in organizations:
        MembershipFactory(organization=organization, user=carol)
    return [client_of(make_api_token(carol, each).text) for each in organizations]


def test_api_tokens_outlive_the_password_unless_asked_otherwise(browsers, carol, cast):
    (token,) = tokens_of(carol, cast.acme)
    change_password(browsers[0])
    assert token.get("/api/v1/organizations/acme/").status_code == 200


def test_changing_the_password_revokes_ones_tokens_everywhere_when_asked(
    browsers, carol, cast, bob
):
    tokens = tokens_of(carol, cast.acme, cast.umbrella)
    change_password(browsers[0], end_tokens="on")
    for token, slug in zip(tokens, ("acme", "umbrella"), strict=True):
        assert token.get(f"/api/v1/organizations/{slug}/").status_code == 401
    # Nobody else's, and the page's own session goes on.
    assert bob.get("/api/v1/organizations/acme/").status_code == 200
    assert is_signed_in(browsers[0])
    for organization in (cast.acme, cast.umbrella):
        (entry,) = AuditLog._base_manager.filter(
            organization_id=organization.pk, action="tenants.api_token.updated"
        )
        assert entry.actor_id == carol.pk
        assert entry.reason == "the password was changed"
        assert entry.request_id


def test_a_wrong_password_revokes_no_token(browsers, carol, cast):
    (token,) = tokens_of(carol, cast.acme)
    body = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "end_tokens": "on"}
    browsers[0].post("/accounts/password/change/", {**body, "oldpassword": "wrong"})
    assert token.get("/api/v1/organizations/acme/").status_code == 200


def set_password(carol: User) -> None:
    carol.set_password(NEW_PASSWORD)
    carol.save()


def deactivate_and_back(carol: User) -> None:
    User.objects.filter(pk=carol.pk).update(is_active=False)
    User.objects.filter(pk=carol.pk).update(is_active=True)


def become_staff(carol: User) -> None:
    User.objects.filter(pk=carol.pk).update(is_staff=True)


def change_role(carol: User) -> None:
    Membership._base_manager.filter(user=carol).update(role="admin")


def change_project_role(carol: User) -> None:
    ProjectMember._base_manager.filter(user=carol).update(role="editor")


def reset_second_factor(carol: User) -> None:
    give_app(carol)
    with binding(EVERY, Actor(kind="command", label="test")):
        services.reset_second_factor(carol)


ENDINGS = [
    set_password,
    deactivate_and_back,
    become_staff,
    change_role,
    change_project_role,
    reset_second_factor,
]


@pytest.mark.parametrize("happens", ENDINGS, ids=lambda each: each.__name__)
def test_sessions_are_dead_at_the_next_request(cast: Cast, happens):
    cast.bob.set_password(PASSWORD)
    cast.bob.save()
    browsers = [signed_in_browser(cast.bob) for _ in range(2)]
    happens(User.objects.get(pk=cast.bob.pk))
    assert [is_signed_in(each) for each in browsers] == [False, False]
    rest = browsers[0].get("/api/v1/organizations/acme/projects/")
    assert rest.status_code == 401


def test_an_inactive_person_is_signed_out_and_their_tokens_are_refused(cast: Cast):
    cast.bob.set_password(PASSWORD)
    cast.bob.save()
    browser = signed_in_browser(cast.bob)
    token = make_api_token(cast.bob, cast.acme).text
    by_token = WebClient(headers={"authorization": f"Bearer {token}"})
    assert by_token.get("/api/v1/organizations/").status_code == 200
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)
    assert not is_signed_in(browser)
    assert by_token.get("/api/v1/organizations/").status_code == 401


def test_a_change_of_the_name_ends_nothing(carol):
    browser = signed_in_browser(carol)
    User.objects.filter(pk=carol.pk).update(first_name="Carola", last_login=None)
    assert is_signed_in(browser)


# One's own list


def test_my_sessions_are_listed_and_nobody_elses(carol):
    other = signed_in_browser(make_person("dora"))
    other_key = other.session.session_key
    page = signed_in_browser(carol).get("/accounts/sessions/").content.decode()
    assert "this one" in page
    theirs = UserSession.objects.get(session_key=other_key)
    assert f"/accounts/sessions/{theirs.pk}/end/" not in page


def test_i_end_one_session(browsers):
    mine, lost, _ = browsers
    row = UserSession.objects.get(session_key=lost.session.session_key)
    answer = mine.post(f"/accounts/sessions/{row.pk}/end/")
    assert answer["Location"] == "/accounts/sessions/"
    assert [is_signed_in(each) for each in browsers] == [True, False, True]


def test_i_end_all_other_sessions(browsers):
    browsers[0].post("/accounts/sessions/")
    assert [is_signed_in(each) for each in browsers] == [True, False, False]


def test_nobody_ends_anothers_session(carol):
    theirs = signed_in_browser(make_person("dora"))
    row = UserSession.objects.get(session_key=theirs.session.session_key)
    mine = signed_in_browser(carol)
    mine.get("/accounts/sessions/")  # which shows what signing in had to say
    foreign = mine.post(f"/accounts/sessions/{row.pk}/end/")
    absent = mine.post(f"/accounts/sessions/{row.pk + 999}/end/")
    assert foreign.status_code == absent.status_code == 404
    assert foreign.content == absent.content
    assert is_signed_in(theirs)


# Operators


def test_an_operator_ends_all_sessions(browsers, capsys):
    call_command("end_sessions", "carol", json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["username"], told["ended"]) == ("carol", 3)
    assert [is_signed_in(each) for each in browsers] == [False] * 3
    entry = only_entry(action="user.sessions_ended")
    assert entry.actor_label == "end_sessions"
    assert entry.after["sessions"] == 3


def test_a_dry_run_ends_nothing(browsers, capsys):
    call_command("end_sessions", "carol", dry_run=True)
    assert capsys.readouterr().out == "Would end all sessions of carol.\n"
    assert all(is_signed_in(each) for each in browsers)


def test_sessions_of_nobody_cannot_be_ended(db):
    with pytest.raises(CommandError, match="nobody of that name") as refused:
        call_command("end_sessions", "nobody")
    assert refused.value.returncode == 64


@pytest.mark.parametrize("confirmed", ["", "1"])
def test_the_admin_ends_sessions_once_confirmed(browsers, carol, confirmed):
    more = {"confirmed": confirmed, "reason": "lost laptop"} if confirmed else {}
    answer = superuser().act("end_sessions", carol, **more)
    assert answer.status_code == 200
    assert all(is_signed_in(each) for each in browsers) is not bool(confirmed)
    if confirmed:
        assert only_entry(action="user.sessions_ended").reason == "lost laptop"


def test_the_admin_shows_where_a_person_is(carol):
    signed_in_browser(carol)
    page = superuser().opened(carol).content.decode()
    assert "127.0.0.1" in page
    assert "Second factors" in page

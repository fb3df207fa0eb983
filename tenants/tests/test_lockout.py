"""Guessing: passwords and codes are counted, for all workers together."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit.tests.trail import entries, only_entry
from conftest import WebClient
from mlops import throttles
from tenants.accounts import lockout
from tenants.models import User
from tenants.tests.browser import (
    NEW_PASSWORD,
    PASSWORD,
    code,
    give_app,
    is_signed_in,
    make_person,
    sign_in,
    signed_in_browser,
)

ALLOWED = 5
HERE, ELSEWHERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def forgetful():
    """What this process remembers of refusals outlives a test's database."""
    yield
    throttles._refused.clear()


@pytest.fixture
def carol(db) -> User:
    return make_person()


def at(address: str) -> WebClient:
    return WebClient(REMOTE_ADDR=address)


def fail(times: int, login: str = "carol", address: str = HERE) -> list[int]:
    """Try wrong passwords, each in a browser of its own."""
    return [
        sign_in(at(address), login, f"wrong number {n}").status_code
        for n in range(times)
    ]


# C11


def test_the_right_password_is_refused_after_five_wrong_ones(carol):
    assert fail(ALLOWED) == [200] * ALLOWED
    browser = at(HERE)
    answer = sign_in(browser)
    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= 15 * 60
    assert b"Too many attempts" in answer.content
    assert not is_signed_in(browser)


def test_four_wrong_ones_lock_nobody_out(carol):
    fail(ALLOWED - 1)
    assert sign_in(at(HERE)).status_code == 302
    assert fail(ALLOWED) == [200] * ALLOWED, "the right one gave the others back"


def test_nobody_is_locked_out_from_elsewhere(carol):
    fail(ALLOWED + 1, address=ELSEWHERE)
    assert sign_in(at(HERE)).status_code == 302


def test_name_and_mail_are_one_person(carol):
    names = ["carol", "CAROL", "carol@example.com", "Carol@Example.com", "carol"]
    for name in names:
        fail(1, name)
    assert sign_in(at(HERE)).status_code == 429


def test_an_unknown_name_is_locked_like_a_known_one(db):
    assert fail(ALLOWED + 1, "nobody") == [200] * ALLOWED + [429]


def test_a_locked_address_signs_nobody_in(carol, settings):
    rate = settings.THROTTLES["sign_in_address"]
    settings.THROTTLES = {
        **settings.THROTTLES,
        "sign_in_address": rate._replace(burst=3),
    }
    for n in range(3):
        fail(1, f"guess{n}")
    assert sign_in(at(HERE)).status_code == 429
    assert sign_in(at(ELSEWHERE)).status_code == 302


def test_the_limits_are_those_of_the_specification(settings):
    person, address = (settings.THROTTLES[k] for k in ("sign_in", "sign_in_address"))
    assert (person.burst, person.per_second) == (5, 5 / 900)
    assert (address.burst, address.per_second) == (50, 50 / 3600)


def test_a_whole_network_of_ipv6_counts_as_one_address(carol):
    for n in range(ALLOWED):
        fail(1, address=f"2001:db8::{n + 1}")
    assert sign_in(at("2001:db8::ffff")).status_code == 429
    assert sign_in(at("2001:db8:1::1")).status_code == 302


def test_a_header_moves_nobody_to_another_address(carol):
    for n in range(ALLOWED):
        browser = WebClient(
            REMOTE_ADDR=HERE, headers={"x-forwarded-for": f"10.0.0.{n}"}
        )
        sign_in(browser, password="wrong as can be")
    assert sign_in(at(HERE)).status_code == 429


def test_a_lock_is_one_entry_that_names_the_person_and_no_password(carol):
    fail(ALLOWED + 3)
    entry = only_entry(action="user.locked_out")
    assert (entry.object_id, entry.outcome) == (carol.pk, "denied")
    assert entry.organization_id is None
    assert entry.after["address"] == "198.51.100.0/24"
    assert len(entries(action="user.sign_in_failed")) == ALLOWED


def test_the_present_password_is_not_guessed_where_it_is_changed(carol):
    browser = signed_in_browser(carol)
    body = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    for n in range(ALLOWED):
        browser.post("/accounts/password/change/", {**body, "oldpassword": f"no {n}"})
    right = {**body, "oldpassword": PASSWORD}
    assert browser.post("/accounts/password/change/", right).status_code == 429
    carol.refresh_from_db()
    assert carol.check_password(PASSWORD)


def test_the_present_password_is_not_guessed_where_access_is_confirmed(carol):
    browser = signed_in_browser(carol)
    for n in range(ALLOWED):
        browser.post("/accounts/reauthenticate/", {"password": f"no {n}"})
    answer = browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert answer.status_code == 429


# Shared by all processes

IN_ANOTHER_PROCESS = """
import os, django
django.setup()
from django.db import connection
from tenants.accounts import lockout
connection.settings_dict["NAME"] = "{database}"
print(lockout.take(lockout.PERSON, "{key}") > 0)
"""


def test_another_process_knows_of_the_lock(transactional_db):
    frank = make_person("frank")
    fail(ALLOWED, "frank")
    key = lockout.key_of(frank, "frank", HERE)
    frank.delete()
    script = IN_ANOTHER_PROCESS.format(
        database=connection.settings_dict["NAME"], key=key
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "True"


# Codes


def test_ten_wrong_codes_lock_the_second_factor_from_every_address(carol):
    give_app(carol)
    browser = at(HERE)
    assert sign_in(browser)["Location"] == "/accounts/2fa/authenticate/"
    tried = [
        browser.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code
        for _ in range(10)
    ]
    assert tried == [200] * 10
    elsewhere = at(ELSEWHERE)
    sign_in(elsewhere)
    answer = elsewhere.post("/accounts/2fa/authenticate/", {"code": code()})
    assert answer.status_code == 429
    assert not is_signed_in(elsewhere)
    assert len(entries(action="user.second_factor_failed", object_id=carol.pk)) == 10


# Unlocking


def test_an_operator_unlocks_a_person(carol, capsys):
    fail(ALLOWED + 1)
    call_command("unlock_sign_in", "carol", json=True)
    assert json.loads(capsys.readouterr().out)["username"] == "carol"
    assert sign_in(at(HERE)).status_code == 302
    assert only_entry(action="user.unlocked").actor_label == "unlock_sign_in"


def test_an_operator_unlocks_an_address(carol, settings):
    rate = settings.THROTTLES["sign_in_address"]._replace(burst=1)
    settings.THROTTLES = {**settings.THROTTLES, "sign_in_address": rate}
    fail(1, "guess")
    assert sign_in(at(HERE)).status_code == 429
    call_command("unlock_sign_in", "carol", address=HERE)
    assert sign_in(at(HERE)).status_code == 302


def test_a_dry_run_unlocks_nobody(carol, capsys):
    fail(ALLOWED + 1)
    call_command("unlock_sign_in", "carol", dry_run=True)
    assert capsys.readouterr().out == "Would unlock carol.\n"
    assert sign_in(at(HERE)).status_code == 429


@pytest.mark.parametrize(
    "options,reason",
    [
        ({"username": "nobody"}, "nobody of that name"),
        ({"username": "carol", "address": "here"}, "IPv4 or IPv6"),
    ],
)
def test_nonsense_is_refused(carol, options, reason):
    with pytest.raises(CommandError, match=reason) as refused:
        call_command("unlock_sign_in", options.pop("username"), **options)
    assert refused.value.returncode == 64

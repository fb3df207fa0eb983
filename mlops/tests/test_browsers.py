from __future__ import annotations

from django.test import Client


def test_a_token_opens_no_session(alice):
    answer = alice.get("/api/v1/organizations/")
    assert answer.status_code == 200
    assert not answer.cookies


def test_a_token_beside_a_cookie_does_not_open_the_admin(cast, alice):
    assert alice.get("/admin/").status_code == 302


def test_a_cookie_alone_still_needs_the_csrf_token(cast):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast.alice)
    answer = browser.post("/admin/login/", {"username": "alice", "password": "x"})
    assert answer.status_code == 403

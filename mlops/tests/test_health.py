from __future__ import annotations

from mlops.db.privileges import watch


def test_live_answers_without_a_database(stranger):
    assert stranger.get("/health/live").content == b"OK"


def test_ready_says_that_the_web_role_is_bound(stranger, monkeypatch):
    monkeypatch.setattr(watch, "is_done", False)  # looked at by another role before
    answer = stranger.get("/health/ready").json()
    assert answer["status"] == "ok"
    assert (answer["role"], answer["rls"]) == ("app_rw", "enforced")

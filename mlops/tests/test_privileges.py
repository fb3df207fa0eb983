from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client

from conftest import client_of
from mlops.db import privileges


@pytest.fixture
def become(db):
    def become(role: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL ROLE {role}")

    return become


@pytest.fixture
def unseen(monkeypatch):
    """As in a process that has not looked at its database yet."""
    monkeypatch.setattr(privileges.watch, "is_done", False)
    monkeypatch.setattr(privileges.watch, "problems", [])


def test_the_web_role_is_bound(become):
    become("app_rw")
    assert privileges.standing(connection).problems == []


@pytest.mark.parametrize(
    "role, problem",
    [
        ("app_maint", "app_maint has BYPASSRLS"),
        ("app_owner", "app_owner may act as the owner of alert_rules, "),
    ],
)
def test_a_role_that_passes_the_lock_is_named(become, role, problem):
    become(role)
    assert problem in privileges.standing(connection).problems[0]


def test_a_superuser_is_named(db):
    assert "is a superuser" in privileges.standing(connection).problems[0]


def test_a_table_without_forced_security_is_named(become):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE forgotten (organization_id uuid)")
        cursor.execute("ALTER TABLE experiments NO FORCE ROW LEVEL SECURITY")
    become("app_rw")
    assert privileges.standing(connection).problems == [
        "row-level security is not forced on experiments, forgotten"
    ]


def test_a_process_refuses_to_start_when_its_role_is_privileged(db, unseen, settings):
    settings.ALLOW_PRIVILEGED_DB = False
    with pytest.raises(ImproperlyConfigured, match="bootstrap_roles"):
        privileges.watch.look()
    assert not privileges.watch.is_done


def test_requests_answer_503_when_the_role_is_privileged(db, unseen, settings):
    settings.ALLOW_PRIVILEGED_DB = False
    client = Client()  # enters as the superuser of the tests' cluster
    assert client.get("/api/v1/organizations/").status_code == 503
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert "row-level security" in ready.json()["reason"]


def test_serving_with_one_lock_is_told_when_it_is_allowed(db, unseen):
    ready = Client().get("/health/ready").json()
    assert (ready["status"], ready["rls"]) == ("degraded", "bypassed")


def test_requests_are_served_when_the_role_is_bound(db, unseen, settings):
    settings.ALLOW_PRIVILEGED_DB = False
    assert client_of().get("/api/v1/organizations/").status_code == 401

from __future__ import annotations

import re

import pytest

from mlops.errors import Forbidden, Unauthenticated
from tenants.authentication import Credential, read_token
from tenants.callers import Caller, caller_of, roles_for
from tenants.permissions import ROLES, Permission
from tenants.sql import FROM_CALLER
from tenants.tests.factories import make_api_token


def test_a_caller_tells_all_that_the_statement_asks_for():
    caller = Caller(Credential("id", b"digest"), Permission.TRACKING_READ)
    asked = set(re.findall(r"%\((\w+)\)", FROM_CALLER))
    assert set(caller.parameters) == asked


def test_a_caller_needs_a_project_where_the_permission_lives_in_one():
    for permission, needs_project in (
        (Permission.TRACKING_READ, True),
        (Permission.ORGANIZATION_READ, False),
    ):
        caller = Caller(Credential("id", b"digest"), permission)
        assert caller.parameters["needs_project"] is needs_project


@pytest.mark.parametrize("permission", Permission.values)
def test_roles_are_written_as_an_array(permission):
    assert roles_for(permission)[1:-1].split(",") == sorted(ROLES[permission])


LINE = "r\t127.0.0.0/24\tPOST "


def test_a_caller_takes_what_the_request_shows(rf, cast):
    token = make_api_token(cast.alice, cast.acme).text
    request = rf.post(
        "/",
        headers={
            "authorization": f"Bearer {token}",
            "x-mlflow-workspace": "fraud",
            "user-agent": "agent/1",
        },
    )
    request.request_id = "r"
    names = {"organization": "acme", "project": "churn", "path": "x"}
    assert caller_of(request, "tracking:read", names) == Caller(
        read_token(token), "tracking:read", "acme", "churn", "fraud", LINE, "agent/1"
    )


def test_a_request_without_credentials_has_no_caller(rf):
    with pytest.raises(Unauthenticated):
        caller_of(rf.get("/"), "tracking:read", {})


def test_a_session_is_no_caller_of_a_forged_write(rf, cast):
    request = rf.post("/", headers={"origin": "https://evil.example"})
    request.user, request.request_id = cast.alice, ""
    with pytest.raises(Forbidden):
        caller_of(request, "tracking:write", {})


def test_a_check_refuses_what_the_statement_would_refuse(cast):
    text = make_api_token(cast.bob, cast.acme, cast.fraud).text
    Caller(read_token(text), "tracking:read").check()
    with pytest.raises(Forbidden):
        Caller(read_token(text), "tracking:write").check()

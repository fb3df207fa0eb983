from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from conftest import Cast, WebClient, client_of
from registry.tests.factories import (
    ExperimentFactory,
    RunFactory,
    candidate_package,
)
from tenants import refusals
from tenants.models import Project, User
from tenants.tests.factories import (
    MembershipFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    UserFactory,
    make_api_token,
)
from tests.mounts import Mount

BOUND = "by a token of one project"


@pytest.fixture(autouse=True)
def fresh_minute():
    """Each test begins a minute of its own."""
    refusals._seen.clear()


@dataclass
class Person:
    user: User
    client: WebClient


@pytest.fixture
def person(cast: Cast) -> Callable[..., Person]:
    """Return a function that makes a member of acme with a role in fraud."""

    def make(role: str, *projects: Project, **token: Any) -> Person:
        user = UserFactory()
        inside = role if role in {"owner", "admin"} else "member"
        MembershipFactory(organization=cast.acme, user=user, role=inside)
        if role in {"maintainer", "editor", "viewer"}:
            ProjectMemberFactory(project=cast.fraud, user=user, role=role)
        text = make_api_token(user, cast.acme, *(projects or (cast.fraud,)), **token)
        return Person(user, client_of(text.text))

    return make


@pytest.fixture
def robot(cast: Cast) -> Callable[..., WebClient]:
    """Return a function that makes a service account of fraud."""

    def make(role: str, *permissions: str, bound: bool = True) -> WebClient:
        account = ServiceAccountFactory(organization=cast.acme)
        ProjectMemberFactory(
            project=cast.fraud, user=None, service_account=account, role=role
        )
        projects = (cast.fraud,) if bound else ()
        token = make_api_token(
            account, cast.acme, *projects, permissions=permissions or ("*",)
        )
        return client_of(token.text)

    return make


@pytest.fixture
def run(cast: Cast):
    """A run of fraud with two files; nobody of the cast has made it."""
    experiment = ExperimentFactory(project=cast.fraud, iid=7, name="trees")
    made = RunFactory(experiment=experiment)
    candidate_package(made, files=2)
    return made


def call(
    client: WebClient, mount: Mount, method: str, endpoint: str, **given: Any
) -> Any:
    """Send what an MLflow client would send to the endpoint below the mount."""
    return send(client, method, mount.url(endpoint), mount.headers, **given)


def send(
    client: WebClient, method: str, address: str, headers: Any = None, **given: Any
) -> Any:
    if method in {"GET", "HEAD", "OPTIONS"}:
        return client.generic(method, address, query_params=given, headers=headers)
    body = json.dumps(given).encode()
    return client.generic(method, address, body, "application/json", headers=headers)


def error_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error_code"]

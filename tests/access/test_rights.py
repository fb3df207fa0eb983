"""What holds of rights, whoever asks in whatever order."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Cast
from tenants.models import ApiToken, Membership, Organization, ProjectMember
from tenants.permissions import SIGNED_IN, Permission
from tenants.tests.factories import MembershipFactory, UserFactory, make_api_token
from tests.access import table
from tests.access.asks import Way, permission_of, ways
from tests.access.matrix import Matrix
from tests.access.test_matrix import due
from tests.access.world import ORIGIN, running_as

ACME = "/api/v1/organizations/acme/"
ORGANIZATION_ROLES = ("member", "admin", "owner")
PROJECT_ROLES = ("viewer", "editor", "maintainer")
IN = set("+?=")


@pytest.fixture(autouse=True)
def no_log_of_refusals() -> Iterator[None]:
    logger = logging.getLogger("django.request")
    logger.disabled = True
    yield
    logger.disabled = False


# Owners

step = st.tuples(
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(("owner", "admin", "member", "remove")),
)


@pytest.fixture
def rulers(cast: Cast) -> list[Membership]:
    """Two owners, an admin and a member."""
    alice = Membership._base_manager.get(user=cast.alice)
    made = [
        MembershipFactory(organization=cast.acme, user=UserFactory(), role=role)
        for role in ("owner", "admin", "member")
    ]
    return [alice, *made]


@given(steps=st.lists(step, max_size=12))
@settings(
    max_examples=12,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_an_organization_is_never_without_an_owner(cast, rulers, steps):
    tokens = [make_api_token(each.user, cast.acme).text for each in rulers]
    client = Client()
    owners = Membership._base_manager.filter(
        organization=cast.acme, role="owner", deleted_at=None, user__is_active=True
    )
    with transaction.atomic():
        for actor, victim, change in steps:
            headers = {"authorization": f"Bearer {tokens[actor]}"}
            address = f"{ACME}members/{rulers[victim].pk}/"
            response: Any = send(client, address, change, headers)
            assert response.status_code < 500
            assert owners.exists(), steps
        transaction.set_rollback(True)


def send(client: Client, address: str, change: str, headers: dict[str, str]) -> Any:
    with running_as("app_rw"), transaction.atomic():
        if change == "remove":
            return client.delete(address, headers=headers)
        body = json.dumps({"role": change})
        return client.patch(address, body, "application/json", headers=headers)


# Granting


def roles_held(role: str) -> tuple[int, int]:
    """How high a role stands in the organization and in its project."""
    inside = role if role in ORGANIZATION_ROLES else "member"
    rules = inside in ("owner", "admin")
    in_project = 2 if rules else -1
    if role in PROJECT_ROLES:
        in_project = PROJECT_ROLES.index(role)
    return ORGANIZATION_ROLES.index(inside), in_project


PEOPLE = ("owner", "admin", "maintainer", "editor", "viewer", "member")


def send_as(
    matrix: Matrix, role: str, method: str, path: str, body: dict[str, Any]
) -> int:
    headers = matrix.world.people[role].headers("wide")
    with running_as("app_rw"), transaction.atomic():
        response = matrix.clients[role].generic(
            method, ACME + path, json.dumps(body), "application/json", headers=headers
        )
        transaction.set_rollback(True)
    return response.status_code


def test_nobody_grants_a_role_above_their_own(matrix):
    for role in PEOPLE:
        check_grants(matrix, role)


def check_grants(matrix: Matrix, role: str) -> None:
    in_organization, in_project = roles_held(role)
    victim = matrix.world.own.rows[Membership]
    in_fraud = matrix.world.own.rows[ProjectMember]
    for rank, granted in enumerate(ORGANIZATION_ROLES):
        for method, path in (("POST", "members/"), ("PATCH", f"members/{victim.pk}/")):
            body = {"role": granted}
            if method == "POST":
                body["user"] = "outsider"
            status = send_as(matrix, role, method, path, body)
            may = in_organization >= max(rank, 1)
            assert (status in (200, 201)) == may, (role, method, granted, status)
    for rank, granted in enumerate(PROJECT_ROLES):
        path = f"projects/fraud/members/{in_fraud.pk}/"
        status = send_as(matrix, role, "PATCH", path, {"role": granted})
        assert (status == 200) == (in_project >= max(rank, 2)), (role, granted, status)


def test_nobody_changes_or_removes_who_stands_above_them(matrix):
    for role, held in product(PEOPLE, ORGANIZATION_ROLES):
        check_removal(matrix, role, held)


def check_removal(matrix: Matrix, role: str, held: str) -> None:
    in_organization, _ = roles_held(role)
    cast = matrix.world.cast
    victim = MembershipFactory(organization=cast.acme, user=UserFactory(), role=held)
    path = f"members/{victim.pk}/"
    may = in_organization >= max(ORGANIZATION_ROLES.index(held), 1)
    changed = send_as(matrix, role, "PATCH", path, {"role": "member"})
    assert (changed == 200) == may, (role, held, changed)
    removed = send_as(matrix, role, "DELETE", path, {})
    assert (removed == 204) == may, (role, held, removed)


# Tokens


def by_token() -> list[Way]:
    """One way per line, by a token and an address that names the place."""
    chosen: dict[tuple[str, str], Way] = {}
    for way in ways(every=False):
        inside = "organization" in way.route.parameters and not way.route.is_public
        if inside and way.credential == "wide" and due(way.line, share=4):
            chosen.setdefault(way.line, way)
    return list(chosen.values())


def give_token(matrix: Matrix, role: str, permissions: tuple[str, ...]) -> None:
    """Let somebody ask by a token with these permissions."""
    key = matrix.world.people[role].wide.split("_")[2]
    ApiToken._base_manager.filter(public_id=key).update(permissions=list(permissions))


def own_only(way: Way, role: str, target: str) -> bool:
    return target == "own"


def test_a_token_of_one_permission_opens_what_needs_that_one_and_no_more(matrix):
    for permission in Permission.values:
        if not due(permission, share=4):
            continue
        give_token(matrix, "owner", (permission,))
        for way in by_token():
            needed = permission_of(way)
            if needed == SIGNED_IN:
                continue
            with running_as("app_rw"):
                given, _ = matrix.ask(way, "owner", matrix.targets["own"])
            if needed != permission:
                assert given.status == 403, f"{way} by {permission}: {given.status}"
            else:
                # A second permission may be asked for, and is lacking as well.
                assert given.letter in IN | {"-"}, f"{way} by {permission}"


def test_a_token_of_all_permissions_gives_no_more_than_its_holder_has(matrix):
    expected = table.read()
    for role in ("viewer", "editor", "member"):
        give_token(matrix, role, tuple(Permission.values))
        with running_as("app_rw"):
            matrix.run(by_token(), [role], own_only)
    for line, cells in matrix.found.letters.items():
        for (role, _), letter in cells.items():
            assert letter == expected[line][role][0], (line, role)


# A frozen organization

SHUT_OUT = ("owner", "editor", "service", "staff", "nobody")


def test_a_deleted_organization_is_shut_for_all_but_its_owners_restore(matrix, world):
    acme = Organization._base_manager.filter(pk=world.cast.acme.pk)
    acme.update(deleted_at=timezone.now())
    found = [w for w in ways(every=False) if "organization" in w.route.parameters]
    inside = [w for w in found if not w.route.is_public and due(w, share=15)]
    assert len(inside) > 10
    restore = [way for way in found if way.line[0].endswith("<organization>/restore/")]
    with running_as("app_rw"):
        matrix.run([*inside, *restore], SHUT_OUT, own_only)
    for line, cells in matrix.found.letters.items():
        for (role, _), letter in cells.items():
            restoring = table.base_of(line)[0].endswith("<organization>/restore/")
            if not (restoring and role == "owner"):
                assert letter in "u.", f"{line} as {role}: {letter}"
    owner = matrix.clients["owner"]
    owner.cookies = matrix.cookies["owner"]
    with running_as("app_rw"):
        response = owner.post(f"{ACME}restore/", headers=ORIGIN)
    assert response.status_code == 200
    assert acme.get().deleted_at is None

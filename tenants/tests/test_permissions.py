"""Who may do what: the table, asked of the database for every role."""

from __future__ import annotations

from itertools import product

import pytest
from django.db import transaction

from conftest import web_role
from mlops.errors import Forbidden, NotFound
from tenants.authentication import Credential, admit
from tenants.context import Actor
from tenants.models import User
from tenants.permissions import (
    OF_ORGANIZATION,
    ROLES,
    Permission,
    allows,
    demand,
)
from tenants.tests.factories import (
    MembershipFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    UserFactory,
    make_api_token,
)

# Columns: owner, admin, maintainer, editor, viewer of fraud, plain member, service
# account that edits fraud. "+" may, "-" is forbidden, "." does not even find it.
TABLE = """
organization:read    + + + + + + +
organization:write   + + - - - - -
organization:admin   + - - - - - -
members:read         + + + + + + +
members:write        + + - - - - -
projects:write       + + - - - - -
project:admin        + + + - - . -
tokens:read          + + + + + + +
tokens:write         + + + + + + +
token:rotate-self    + + + + + + +
audit:read           + + - - - - -
purge                + + - - - - -
tracking:read        + + + + + . +
tracking:write       + + + + - . +
tracking:delete      + + + + - . -
artifacts:read       + + + + + . +
artifacts:write      + + + + - . +
artifacts:delete     + + + - - . -
registry:read        + + + + + . +
registry:write       + + + + - . +
registry:promote     + + + - - . -
registry:delete      + + + - - . -
webhooks:write       + + + - - . -
monitoring:read      + + + + + . +
monitoring:write     + + + + - . +
"""
PEOPLE = ("owner", "admin", "maintainer", "editor", "viewer", "member")
COLUMNS = (*PEOPLE, "service")
EXPECTED = {line.split()[0]: line.split()[1:] for line in TABLE.strip().splitlines()}


@pytest.fixture
def credentials(cast) -> dict[str, Credential]:
    """A credential of everybody in the columns."""
    people = {role: UserFactory() for role in PEOPLE}
    for role, user in people.items():
        in_organization = role if role in {"owner", "admin"} else "member"
        MembershipFactory(organization=cast.acme, user=user, role=in_organization)
        if role in {"maintainer", "editor", "viewer"}:
            ProjectMemberFactory(project=cast.fraud, user=user, role=role)
    robot = ServiceAccountFactory(organization=cast.acme)
    ProjectMemberFactory(
        project=cast.fraud, user=None, service_account=robot, role="editor"
    )
    token = make_api_token(robot, cast.acme)
    found = {role: Credential(user_id=user.pk) for role, user in people.items()}
    return {**found, "service": Credential(token.public_id, token.digest)}


def verdict(credential: Credential, permission: str, project: str | None) -> str:
    try:
        with web_role(), transaction.atomic():
            admit(credential, permission, organization="acme", project=project)
    except Forbidden:
        return "-"
    except NotFound:
        return "."
    return "+"


def place_of(permission: str) -> str | None:
    return None if permission in OF_ORGANIZATION else "fraud"


def test_the_table_has_every_permission():
    assert set(EXPECTED) == set(Permission.values) == {str(each) for each in ROLES}


def test_everybody_may_do_what_the_table_says(credentials):
    found = {
        permission: [
            verdict(credentials[column], permission, place_of(permission))
            for column in COLUMNS
        ]
        for permission in Permission.values
    }
    assert found == EXPECTED


def test_a_higher_role_never_loses_a_right():
    for (permission, marks), (higher, lower) in product(
        EXPECTED.items(), [(0, 1), (1, 2), (2, 3), (3, 4)]
    ):
        if marks[lower] == "+":
            assert marks[higher] == "+", permission


def test_another_project_is_not_found_by_who_has_no_role_in_it(credentials):
    for column in COLUMNS:
        expected = "+" if column in {"owner", "admin"} else "."
        assert verdict(credentials[column], "tracking:read", "churn") == expected


def test_a_token_never_does_more_than_its_holder(credentials, cast):
    viewer = User.objects.get(pk=credentials["viewer"].user_id)
    token = make_api_token(viewer, cast.acme, cast.fraud)
    credential = Credential(token.public_id, token.digest)
    for permission in Permission.values:
        own = verdict(credentials["viewer"], permission, place_of(permission))
        assert verdict(credential, permission, place_of(permission)) == own


def test_a_token_of_an_owner_bound_to_a_project_rules_only_there(cast):
    token = make_api_token(cast.alice, cast.acme, cast.fraud)
    credential = Credential(token.public_id, token.digest)
    assert verdict(credential, "registry:delete", "fraud") == "+"
    assert verdict(credential, "registry:delete", "churn") == "."
    assert verdict(credential, "members:write", None) == "-"


def actor(roles: str = "", permissions: str = "*", kind: str = "user") -> Actor:
    return Actor(
        kind=kind,
        roles=frozenset(roles.split()),
        permissions=frozenset(permissions.split()),
    )


@pytest.mark.parametrize(
    "who,expected",
    [
        (actor("maintainer"), True),
        (actor("editor"), False),
        (actor("maintainer", "registry:write"), False),
        (actor("maintainer", "registry:promote"), True),
        (actor(), False),
        (actor(kind="command"), True),
        (actor(kind="service"), False),
    ],
)
def test_a_second_permission_is_weighed_like_the_first(who, expected):
    assert allows(who, Permission.REGISTRY_PROMOTE) is expected


def test_a_refusal_names_the_permission():
    with pytest.raises(Forbidden, match="Promoting needs the permission registry:pro"):
        demand(actor("viewer"), Permission.REGISTRY_PROMOTE, "Promoting")

"""Two organizations and everybody who may ask: what the matrix is asked about, by whom.

Texts of a holding bear its mark, and marks, slugs and numbers are of one length, so
that an answer about one differs from an answer about another only in what was said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.test import Client
from django.utils import timezone

from conftest import Cast
from registry import models as registry
from tenants import models as tenants
from tenants.tests.factories import (
    MembershipFactory,
    ProjectFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    UserFactory,
    make_api_token,
)
from tests.access.rows import Rows, crowd_of, delete_softly, populate

ROLES = (
    "owner",
    "admin",
    "maintainer",
    "editor",
    "viewer",
    "member",
    "service",
    "staff",
    "nobody",
)
# Who rules acme also rules its other project; for all others it does not exist.
RULERS = ("owner", "admin")
PROJECT_ROLES = ("maintainer", "editor", "viewer")
ORIGIN = {"origin": "http://testserver"}


@dataclass(frozen=True)
class Holding:
    """What one project holds, or what nobody does: names and ids to ask for."""

    mark: str
    number: int
    organization: str
    project: str
    joining: str
    rows: Rows = field(default_factory=dict)

    def text(self, noun: str) -> str:
        return f"{self.mark}-{noun}"

    def person(self, noun: str) -> str:
        return f"{crowd_of(self.mark)}-{noun}"

    def key(self, model: type) -> UUID:
        """The id of the row; one that nobody has, where there is no row."""
        row = self.rows.get(model)
        return row.pk if row is not None else NOBODYS[model.__name__]

    @property
    def run(self) -> str:
        return self.key(registry.Run).hex


class Nobodys(dict[str, UUID]):
    """An id for each kind of row, which no row has."""

    def __missing__(self, noun: str) -> UUID:
        self[noun] = uuid4()
        return self[noun]


NOBODYS = Nobodys()


@dataclass(frozen=True)
class Somebody:
    """Who asks, by each credential that it has: headers, or the cookie of a session."""

    role: str
    user: tenants.User | None = None
    wide: str = ""
    bound: str = ""

    def headers(self, credential: str) -> dict[str, str]:
        token = {"wide": self.wide, "bound": self.bound}.get(credential, "")
        return {"authorization": f"Bearer {token}"} if token else {}


@dataclass(frozen=True)
class World:
    own: Holding
    other: Holding
    foreign: Holding
    deleted: Holding
    gone: Holding
    random: Holding
    cast: Cast
    people: dict[str, Somebody]

    @property
    def umbrella(self) -> tenants.Organization:
        return self.cast.umbrella


def build(cast: Cast) -> World:
    moonbase = ProjectFactory(organization=cast.umbrella, slug="moonb", name="forqz-p")
    attic = ProjectFactory(organization=cast.acme, slug="attic")
    world = World(
        own=held(cast.fraud, "ownqz", 111_111, joining="outsider"),
        other=held(cast.churn, "othqz", 222_222),
        foreign=held(moonbase, "forqz", 333_333),
        deleted=held(cast.fraud, "delqz", 444_444),
        gone=held(attic, "gonqz", 555_555),
        random=Holding("fooqz", 666_666, "nobodyqz", "nobod", "foopp-user"),
        cast=cast,
        people={role: somebody(cast, role) for role in ROLES},
    )
    # Who is known to acme and may be brought back; nobody else is found by name.
    MembershipFactory(
        organization=cast.acme,
        user=UserFactory(username="outsider"),
        deleted_at=timezone.now(),
    )
    cast.umbrella.name = "forqz-organization"
    cast.umbrella.metadata = {"note": "forqz-note"}
    cast.umbrella.save(using="default")
    delete_softly(world.deleted.rows)
    attic.deleted_at = timezone.now()
    attic.save(using="default")
    return world


def held(
    project: tenants.Project, mark: str, number: int, joining: str = ""
) -> Holding:
    rows = populate(project, mark, number)
    return Holding(
        mark,
        number,
        project.organization.slug,
        project.slug,
        joining or f"{crowd_of(mark)}-user",
        rows,
    )


def somebody(cast: Cast, role: str) -> Somebody:
    if role == "nobody":
        return Somebody(role)
    if role == "staff":
        return Somebody(role, UserFactory(username="staff", is_staff=True))
    if role == "service":
        holder: Any = ServiceAccountFactory(organization=cast.acme, name="service")
        ProjectMemberFactory(
            project=cast.fraud, user=None, service_account=holder, role="editor"
        )
    else:
        holder = person(cast, role)
    return Somebody(
        role,
        holder if isinstance(holder, tenants.User) else None,
        make_api_token(holder, cast.acme).text,
        make_api_token(holder, cast.acme, cast.fraud).text,
    )


def person(cast: Cast, role: str) -> tenants.User:
    user = UserFactory(username=role)
    inside = role if role in RULERS else "member"
    MembershipFactory(organization=cast.acme, user=user, role=inside)
    if role in PROJECT_ROLES:
        ProjectMemberFactory(project=cast.fraud, user=user, role=role)
    return user


def clients_of(world: World) -> dict[str, Client]:
    """A browser per role: signed in, if it is somebody who can."""
    found = {}
    for role, each in world.people.items():
        found[role] = Client(raise_request_exception=False)
        if each.user is not None:
            found[role].force_login(each.user)
    return found


@contextmanager
def running_as(role: str) -> Iterator[None]:
    """Be a database role for many requests at once."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {role}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")

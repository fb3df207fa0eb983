"""The cast, the database and the web role: what every test may use.

Alice owns acme, Bob may only read its project fraud, Mallory owns another
organization, umbrella, whose project is called fraud as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection, connections
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client
from psycopg import sql

from mlops.db import roles
from mlops.db.privileges import watch
from mlops.settings import Embedded, env
from mlops.upkeep import make_missing_months
from registry.relations import strict_relations
from registry.storage import BlobFolder
from registry.tests.factories import ExperimentFactory, RunFactory, candidate_package
from tenants.models import Organization, Project, User
from tenants.tests.factories import (
    MembershipFactory,
    OrganizationFactory,
    ProjectFactory,
    ProjectMemberFactory,
    UserFactory,
    make_api_token,
)
from tests.settings import SUPERUSER_URL, TEST_DATABASE, TEST_VAR

pytest_plugins = ["tests.workers"]


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker) -> Iterator[None]:
    """Make this process's database as an installation does: roles, then the owner."""
    with ExitStack() as stack:
        if not env.text("DATABASE_URL"):
            stack.enter_context(Embedded(TEST_VAR).lease())
        passwords = {role: f"test-{role}" for role in roles.LOGINS}
        if not env.text("DATABASE_URL"):
            server = Embedded(TEST_VAR)
            passwords = {role: server.password(role) for role in roles.LOGINS}
        with django_db_blocker.unblock():
            roles.bootstrap(SUPERUSER_URL, TEST_DATABASE, passwords)
            _migrate(passwords["app_owner"])
        watch.is_done = True  # as a server is before its first request
        yield
        with django_db_blocker.unblock():
            connections.close_all()
            _drop_database()


_execute_flush = DatabaseOperations.execute_sql_flush


def _flush_past_triggers(operations: Any, statements: Iterable[str]) -> None:
    """Empty the tables after a transactional test, which triggers of audit refuse."""
    replica = "SET LOCAL session_replication_role = replica"
    _execute_flush(operations, [replica, *statements])


DatabaseOperations.execute_sql_flush = _flush_past_triggers  # type: ignore[assignment]


def _migrate(owner_password: str) -> None:
    """Migrate as app_owner, on the alias that only migrations use."""
    owner = {"USER": "app_owner", "PASSWORD": owner_password}
    connections.settings["owner"] = {**connections.settings["default"], **owner}
    try:
        call_command("migrate", database="owner", verbosity=0)
        make_missing_months(datetime.now(UTC))
    finally:
        connections["owner"].close()
        del connections["owner"]
        del connections.settings["owner"]


def _drop_database() -> None:
    with psycopg.connect(SUPERUSER_URL, autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(
                sql.Identifier(TEST_DATABASE)
            )
        )


@pytest.fixture(scope="module", autouse=True)
def left_empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the file that leaves rows behind, where the next would find them."""
    yield
    if not watch.is_done:
        return
    with psycopg.connect(SUPERUSER_URL, dbname=TEST_DATABASE) as superuser:
        found = superuser.execute("SELECT action, object_label FROM audit_logs")
        assert not found.fetchall()


@pytest.fixture
def store(settings, tmp_path) -> BlobFolder:
    """Keep the blobs of this test in a folder of its own."""
    options = {"location": str(tmp_path / "blobs")}
    blobs = {"BACKEND": "registry.storage.BlobFolder", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs}
    folder = storages["blobs"]
    assert isinstance(folder, BlobFolder)
    return folder


@contextmanager
def web_role() -> Iterator[None]:
    """Be the role that serves requests: owns nothing, bound by row-level security."""
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE app_rw")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")


class WebClient(Client):
    """Django's test client, whose requests run as the web role.

    They may read one package alone, as the page of a run does; the second is a fault.
    """

    def request(self, **request):
        with web_role(), strict_relations(spare=1):
            return super().request(**request)


def client_of(token: str | None = None) -> WebClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return WebClient(headers=headers)


@dataclass
class Cast:
    acme: Organization
    umbrella: Organization
    fraud: Project
    churn: Project
    umbrella_fraud: Project
    alice: User
    bob: User
    mallory: User


@pytest.fixture
def cast(db):
    acme = OrganizationFactory(slug="acme", name="Acme")
    umbrella = OrganizationFactory(slug="umbrella", name="Umbrella")
    alice, bob, mallory = (
        UserFactory(username=name) for name in ("alice", "bob", "mallory")
    )
    fraud = ProjectFactory(organization=acme, slug="fraud", name="Fraud")
    MembershipFactory(organization=acme, user=alice, role="owner")
    MembershipFactory(organization=acme, user=bob, role="member")
    MembershipFactory(organization=umbrella, user=mallory, role="owner")
    ProjectMemberFactory(project=fraud, user=bob, role="viewer")
    return Cast(
        acme=acme,
        umbrella=umbrella,
        fraud=fraud,
        churn=ProjectFactory(organization=acme, slug="churn", name="Churn"),
        umbrella_fraud=ProjectFactory(organization=umbrella, slug="fraud"),
        alice=alice,
        bob=bob,
        mallory=mallory,
    )


@pytest.fixture
def alice(cast: Cast) -> WebClient:
    """Alice by a token of her own, good for all of acme."""
    return client_of(make_api_token(cast.alice, cast.acme).text)


@pytest.fixture
def alice_in_fraud(cast: Cast) -> WebClient:
    """Alice by a token bound to one project, as the mlflow client uses it."""
    return client_of(make_api_token(cast.alice, cast.acme, cast.fraud).text)


@pytest.fixture
def bob(cast: Cast) -> WebClient:
    return client_of(make_api_token(cast.bob, cast.acme).text)


@pytest.fixture
def mallory(cast: Cast) -> WebClient:
    return client_of(make_api_token(cast.mallory, cast.umbrella).text)


@pytest.fixture
def stranger(db) -> WebClient:
    """Somebody without credentials."""
    return client_of()


@pytest.fixture
def make_runs(cast: Cast):
    """Return a function that stores runs of fraud with files, in one experiment."""
    experiment = ExperimentFactory(project=cast.fraud, name="trees")

    def make(count: int, *, files: int = 0):
        runs = RunFactory.create_batch(count, experiment=experiment)
        for run in runs:
            if files:
                candidate_package(run, files=files)
        return runs

    return make

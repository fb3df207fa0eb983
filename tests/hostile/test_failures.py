"""What the database refuses or cannot do, as each skin says it; never a 500."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from registry.models import Experiment
from registry.tests.protocol import error, tracking_as
from tenants.tests.factories import (
    OrganizationFactory,
    ProjectFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
)
from tests.settings import SUPERUSER_URL, TEST_DATABASE

JSON = {"content_type": "application/json"}
HOT = "runs/set-tag"


@pytest.fixture
def place(transactional_db):
    """A project whose requests commit, as they do outside of tests."""
    organization = OrganizationFactory(slug=f"failing-{time.monotonic_ns()}")
    project = ProjectFactory(organization=organization, slug="fraud")
    robot = ServiceAccountFactory(organization=organization)
    ProjectMemberFactory(
        project=project, user=None, service_account=robot, role="maintainer"
    )
    tracking = tracking_as(robot, project)
    tracking.project = project
    tracking.rest = (
        f"/api/v1/organizations/{organization.slug}/projects/fraud/experiments/"
    )
    return tracking


@contextmanager
def losing(times: int) -> Iterator[None]:
    """Let PostgreSQL end the first transactions that make an experiment."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE tries")
        cursor.execute("GRANT ALL ON SEQUENCE tries TO PUBLIC")
        # A sequence counts on although its transaction is undone.
        cursor.execute(
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF nextval('tries') <= {times} THEN"
            " RAISE EXCEPTION USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER lose BEFORE INSERT ON experiments"
            " FOR EACH ROW EXECUTE FUNCTION lose()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER lose ON experiments")
            cursor.execute("DROP FUNCTION lose()")
            cursor.execute("DROP SEQUENCE tries")


def named(place: Any, name: str) -> int:
    rows = Experiment._base_manager.filter(project=place.project, name=name)
    return rows.count()


def test_a_transaction_that_lost_is_run_again(place):
    with losing(2):
        made = place.client.post(place.rest, {"name": "rest"}, **JSON)
    assert made.status_code == 201
    with losing(2):
        assert place.post("experiments/create", name="mlflow").status_code == 200
    assert (named(place, "rest"), named(place, "mlflow")) == (1, 1)


def test_a_transaction_that_always_loses_is_told_to_come_again(place):
    with losing(99):
        rest = place.client.post(place.rest, {"name": "rest"}, **JSON)
        mlflow = place.post("experiments/create", name="mlflow")
    assert rest.status_code == 503
    assert json.loads(rest.content)["error"]["code"] == "unavailable"
    assert error(mlflow)[:2] == (503, "TEMPORARILY_UNAVAILABLE")
    assert rest.headers["Retry-After"] == mlflow.headers["Retry-After"] == "1"
    assert (named(place, "rest"), named(place, "mlflow")) == (0, 0)


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Hold all rows of a table from another session."""
    with psycopg.connect(SUPERUSER_URL, dbname=TEST_DATABASE) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


@contextmanager
def limited(setting: str) -> Iterator[None]:
    """Set what the role of requests has by itself (mlops/db/roles.py), but shorter."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET {setting} = '200ms'")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"RESET {setting}")


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
def test_who_waits_too_long_is_told_to_come_again(place, setting):
    run = place.run()
    before = place.run_of(run)
    with limited(setting), locked("experiment_runs, experiments"):
        answers = [
            place.post(HOT, run_id=run, key="k", value="v"),
            place.post("experiments/create", name="late"),
            place.get("runs/get", run_id=run),
            place.get("experiments/get", experiment_id="0"),
        ]
        rest = [
            place.client.get(place.rest),
            place.client.post(place.rest, {"name": "late"}, **JSON),
        ]
    for response in answers:
        assert error(response)[:2] == (503, "TEMPORARILY_UNAVAILABLE")
        assert response.headers["Retry-After"] == "1"
    for response in rest:
        assert response.status_code == 503
        assert json.loads(response.content)["error"]["code"] == "unavailable"
        assert response.headers["Retry-After"] == "1"
    assert place.run_of(run) == before
    assert named(place, "late") == 0


def test_what_a_column_cannot_hold_is_the_callers_mistake(alice, alice_in_fraud):
    """The last line of defence: a text that no check before it has refused."""
    headers = {"x-mlflow-workspace": "a\x00b"}
    address = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    response = alice_in_fraud.get(address, headers=headers)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")

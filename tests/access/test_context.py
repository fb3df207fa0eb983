"""The tenant's context: on pooled connections, and where there is none (D20, D21)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import BaseCommand, call_command
from django.db import ProgrammingError, connection, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import include, path

from conftest import Cast
from mlops.db.uuid7 import uuid7
from mlops.settings import Embedded, env
from registry.models import Experiment, Run
from tenants.context import TenantContextMissing, acting_as
from tenants.querysets import TenantManager
from tenants.tests.factories import make_api_token
from tests.access.rows import populate
from tests.access.watch import tenant_tables
from tests.access.world import running_as
from tests.settings import TEST_VAR

PLACE = "api/v1/organizations/<slug:organization>/projects/<slug:project>/"


def breaking(request: HttpRequest, organization: str, project: str) -> HttpResponse:
    """Write, and then fail in Python or in the database."""
    Run.objects.update(name="half-made")
    if request.GET["how"] == "bug":
        raise RuntimeError
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    return HttpResponse()


def streaming(
    request: HttpRequest, organization: str, project: str
) -> StreamingHttpResponse:
    return StreamingHttpResponse(run.name for run in Run.objects.all().iterator())


breaking.needs = streaming.needs = "tracking:read"  # type: ignore[attr-defined]

urlpatterns = [
    path(PLACE + "breaking/", breaking),
    path(PLACE + "streaming/", streaming),
    path("", include("mlops.urls")),
]
handler500 = "mlops.api.exceptions.server_error"


# D20: one pooled connection for everybody


@contextmanager
def one_pooled_connection() -> Iterator[DatabaseWrapper]:
    """Serve by a pool of one connection of the web role, as an installation does."""
    before = connections["default"]
    given = env.text("DATABASE_URL")
    password = "test-app_rw" if given else Embedded(TEST_VAR).password("app_rw")
    options = {
        **before.settings_dict["OPTIONS"],
        "pool": {"min_size": 1, "max_size": 1},
    }
    role = {"USER": "app_rw", "PASSWORD": password, "OPTIONS": options}
    pooled = DatabaseWrapper({**before.settings_dict, **role}, "default")
    connections["default"] = pooled
    try:
        yield pooled
    finally:
        pooled.close()
        pooled.close_pool()
        connections["default"] = before


CONTEXT = """
SELECT pg_backend_pid(), current_user,
       coalesce(current_setting('app.organization_id', true), ''),
       coalesce(current_setting('app.actor', true), ''),
       (SELECT count(*) FROM experiment_runs), (SELECT count(*) FROM experiments)
"""


def context_left_behind() -> tuple[int, tuple[Any, ...]]:
    """Take the connection out of the pool again and look at what it still knows."""
    with connection.cursor() as cursor:
        cursor.execute(CONTEXT)
        pid, *rest = cursor.fetchone()
    connection.close()
    return pid, tuple(rest)


def alternate(cast: Cast, rounds: int) -> int:
    """Let both organizations ask in turn; return in how many backends they met."""
    marks = {"acme": "aaaqz", "umbrella": "bbbqz"}
    runs = {
        "acme": populate(cast.fraud, "aaaqz", 111_111)[Run],
        "umbrella": populate(cast.umbrella_fraud, "bbbqz", 222_222)[Run],
    }
    tokens = {
        "acme": make_api_token(cast.alice, cast.acme).text,
        "umbrella": make_api_token(cast.mallory, cast.umbrella).text,
    }
    backends = set()
    with one_pooled_connection():
        client = Client(raise_request_exception=False)
        for turn in range(rounds):
            own, other = sorted(marks, reverse=bool(turn % 2))
            headers = {"authorization": f"Bearer {tokens[own]}"}
            address, expected = request_of(turn // 2, own, runs)
            response = client.get(address, headers=headers)
            assert response.status_code == expected, (turn, address)
            body = response.getvalue().decode()
            assert marks[other] not in body, f"{address} in turn {turn}"
            assert expected != 200 or marks[own] in body, address
            connection.close()
            pid, left = context_left_behind()
            assert left == ("app_rw", "", "", 0, 0), (turn, address)
            backends.add(pid)
    return len(backends)


def request_of(turn: int, own: str, runs: dict[str, Run]) -> tuple[str, int]:
    """Reads of each kind, also by an id of the other; each third one breaks."""
    rest = f"/api/v1/organizations/{own}/projects/fraud/"
    hot = f"/mlflow/{own}/fraud/api/2.0/mlflow/runs/get?run_id="
    (other,) = set(runs) - {own}
    return [
        (f"{rest}runs/", 200),
        (f"{hot}{runs[own].pk.hex}", 200),
        (f"{rest}breaking/?how=bug", 500),
        (f"{rest}experiments/", 200),
        (f"{hot}{runs[other].pk.hex}", 404),
        (f"{rest}breaking/?how=database", 400),
    ][turn % 6]


@pytest.fixture
def no_log() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.urls(__name__)
def test_a_pooled_connection_carries_nothing_to_the_next(
    transactional_db, cast, no_log
):
    assert alternate(cast, 500) == 1


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.urls(__name__)
def test_a_pooled_connection_carries_nothing_to_the_next_10_000_times(
    transactional_db, cast, no_log
):
    assert alternate(cast, 10_000) == 1


# D21: no context, no rows


def tenant_models() -> list[Any]:
    found = [model for model in all_models() if hasattr(model, "objects")]
    return [model for model in found if isinstance(model.objects, TenantManager)]


def all_models() -> list[Any]:
    return list(Run._meta.apps.get_models())


@pytest.fixture
def stored(cast) -> Cast:
    populate(cast.fraud, "aaaqz", 111_111)
    return cast


@pytest.mark.urls(__name__)
def test_a_stream_that_reads_rows_after_its_transaction_fails(stored, alice):
    response = alice.get("/api/v1/organizations/acme/projects/fraud/streaming/")
    with pytest.raises(TenantContextMissing):
        list(response.streaming_content)


def test_a_thread_does_not_inherit_the_context_of_its_request(stored):
    with acting_as("job:test", organization=stored.acme.pk):
        assert Run.objects.exists()
        with ThreadPoolExecutor(1) as pool, pytest.raises(TenantContextMissing):
            pool.submit(lambda: str(Run.objects.all().query)).result()


class Unbound(BaseCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        list(Run.objects.all())


def test_a_command_without_a_context_fails(stored):
    with pytest.raises(TenantContextMissing):
        call_command(Unbound())


READS: list[Callable[[Any], object]] = [
    lambda rows: list(rows.all()),
    lambda rows: rows.count(),
    lambda rows: rows.exists(),
    lambda rows: rows.update(**{rows.model._meta.pk.name: None}),
]


def test_every_manager_of_tenant_rows_fails_without_a_context(stored):
    models = tenant_models()
    assert len(models) > 25
    for model in models:
        for read in READS:
            with pytest.raises(TenantContextMissing):
                read(model.objects)


def test_every_tenant_table_is_empty_for_the_web_role_without_a_context(stored):
    tables = [*tenant_tables(), "organizations"]
    assert len(tables) > 25
    for table in tables:
        assert seen_in(table) == 0, table


@pytest.mark.parametrize("left", ["", "00000000-0000-7000-8000-000000000000"])
def test_every_tenant_table_is_empty_when_the_context_names_nobody(stored, left):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.organization_id', %s, true)", [left])
    assert sum(seen_in(table) for table in tenant_tables()) == 0


def seen_in(table: str) -> int:
    """Count what the web role sees; a table that it may not read shows nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('app_rw', %s, 'SELECT')", [table])
        if not cursor.fetchone()[0]:
            return 0
        with running_as("app_rw"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            return cursor.fetchone()[0]


def test_the_web_role_changes_nothing_without_a_context(stored):
    with running_as("app_rw"):
        assert Run._base_manager.update(name="changed") == 0


def test_the_web_role_stores_nothing_for_an_organization_that_is_not_bound(stored):
    experiment = Experiment._base_manager.filter(project_id=stored.fraud.pk)[0]
    row = Experiment(
        pk=uuid7(),
        organization_id=experiment.organization_id,
        project_id=experiment.project_id,
        iid=5,
        name="smuggled",
    )
    refused = pytest.raises(ProgrammingError, match="row-level security")
    with running_as("app_rw"), refused, transaction.atomic():
        row.save(force_insert=True)

"""Each of the two locks without the other: filters, and row-level security."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.db import connection

from registry.models import Run
from tests.access.asks import Way, is_mlflow, ways
from tests.access.locks import (
    constants,
    disable_row_level_security,
    packages,
    without_filters,
)
from tests.access.matrix import Findings, Matrix
from tests.access.test_matrix import due, first_of_each_line
from tests.access.watch import watch, writes
from tests.access.world import running_as

ASKING = ("owner", "editor")
SHARE = 6
FOREIGN = {"foreign", "at foreign", "at theirs"}
PLANTED = pytest.mark.urls("tests.access.planted")


@pytest.fixture(autouse=True)
def no_log_of_refusals() -> Iterator[None]:
    logger = logging.getLogger("django.request")
    logger.disabled = True
    yield
    logger.disabled = False


def foreign_only(way: Way, role: str, target: str) -> bool:
    return target in FOREIGN or (target == "own" and way.method == "GET")


def ways_to_rows() -> list[Way]:
    """By a token, once per line: all that is anybody's but the platform's own."""
    found = first_of_each_line(ways(every=False))
    inside = [w for w in found if not (w.route.is_admin or w.route.is_public)]
    return [w for w in inside if w.credential == "wide" and w.mount != "workspace"]


def ask_all(matrix: Matrix, found: list[Way], roles: tuple[str, ...]) -> Findings:
    # The project's filter is the application's alone, so only umbrella is looked for.
    matrix.others = matrix.secrets
    with running_as("app_rw"):
        return matrix.run(found, roles, foreign_only)


def ways_of_today() -> list[Way]:
    """A share of them, each day another."""
    return [way for way in ways_to_rows() if due(way, share=SHARE)]


def wrong(found: Findings) -> list[str]:
    """Disclosures, and answers that differ from those about what nobody has."""
    return [*found.disclosures, *found.differing]


def prove_row_level_security(matrix: Matrix, found: list[Way]) -> int:
    watch(matrix.world.umbrella)
    with without_filters() as removed:
        assert removed > 30
        ask_all(matrix, found, ASKING)
    assert not wrong(matrix.found), str(matrix.found)
    assert writes() == 0
    return matrix.found.asked


def prove_the_application(matrix: Matrix, found: list[Way]) -> int:
    watch(matrix.world.umbrella)
    assert len(disable_row_level_security()) > 25
    assert rows_seen_by_the_web_role(matrix.world) > 0
    ask_all(matrix, found, ASKING)
    assert not wrong(matrix.found), str(matrix.found)
    assert writes() == 0
    return matrix.found.asked


def test_row_level_security_alone_hides_the_other_organization(matrix):
    assert prove_row_level_security(matrix, ways_of_today()) > 50


def test_the_application_alone_hides_the_other_organization(matrix):
    assert prove_the_application(matrix, ways_of_today()) > 50


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("prove", [prove_row_level_security, prove_the_application])
def test_each_lock_alone_hides_the_other_organization_everywhere(matrix, prove):
    assert prove(matrix, ways_to_rows()) > 1000


def rows_seen_by_the_web_role(world) -> int:
    """Count umbrella's runs as the web role sees them without a context."""
    with running_as("app_rw"):
        return Run._base_manager.filter(organization_id=world.umbrella.pk).count()


def test_row_level_security_is_what_hides_rows_from_the_web_role(world):
    assert rows_seen_by_the_web_role(world) == 0


# With both locks off the same requests find what they look for

# Each reader of rows by an id that the caller says.
READERS = (
    "mlflow/runs/get",
    "mlflow/runs/search",
    "mlflow/metrics/get-history",
    "mlflow/experiments/get",
    "mlflow/experiments/get-by-name",
    "mlflow/artifacts/list",
    "projects/<project>/runs/<pk>/",
    "projects/<project>/experiments/<pk>/",
    "projects/<project>/models/<pk>/",
    "projects/<project>/model-versions/<pk>/",
    "projects/<project>/packages/<pk>/",
    "projects/<project>/deployments/<pk>/",
    "projects/<project>/alert-rules/<pk>/",
    "projects/<project>/alerts/<pk>/",
    "projects/<project>/drift-reports/<pk>/",
    "organizations/<organization>/members/<pk>/",
    "organizations/<organization>/service-accounts/<pk>/",
    "organizations/<organization>/tokens/<pk>/",
    "organizations/<organization>/audit-logs/<pk>/",
)


def test_without_both_locks_every_reader_is_found_out(matrix):
    readers = [way for way in ways_to_rows() if way.line[0].endswith(READERS)]
    disable_row_level_security()
    with without_filters():
        found = ask_all(matrix, [w for w in readers if is_read(w)], ("owner",))
    for reader in READERS:
        assert any(reader in text for text in found.differing), reader
    assert len(found.disclosures) > len(READERS) // 2


def is_read(way: Way) -> bool:
    return way.method == "GET" or way.line[0].endswith("search")


def test_named_sql_is_opened_where_it_names_the_caller():
    assert {name for name, _ in constants(packages)} >= {"FIND_RUN", "ATTACH"}


# A hole in one lock


def ask_planted(matrix: Matrix) -> Findings:
    found = [way for way in ways(every=False) if "planted" in str(way.route)]
    assert len({way.route for way in found}) == 2
    matrix.others = matrix.secrets
    with running_as("app_rw"):
        return matrix.run(found, ASKING, foreign_only)


@PLANTED
def test_a_view_without_a_filter_is_caught_by_row_level_security(matrix):
    assert not wrong(ask_planted(matrix))


@PLANTED
def test_a_view_without_a_filter_is_found_out_without_row_level_security(matrix):
    disable_row_level_security()
    found = ask_planted(matrix)
    assert any("planted/<run>/" in text for text in found.differing)
    assert any("planted/ " in text for text in found.disclosures)


def test_a_table_without_row_level_security_is_caught_by_the_application(matrix):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE experiment_runs DISABLE ROW LEVEL SECURITY")
    readers = [way for way in ways_to_rows() if "/runs" in str(way.route)]
    assert any(is_mlflow(way.route) for way in readers)
    matrix.others = matrix.secrets
    with running_as("app_rw"):
        found = matrix.run(readers, ASKING, foreign_only)
    assert not wrong(found), str(found)

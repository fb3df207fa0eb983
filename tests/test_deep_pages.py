"""Case G8: a page costs the same however deep it is, in buffers, which do not jitter.

The statement is the one that a request sends: auto_explain tells what it has read, with
all that the function inside of it has asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from registry.tests.factories import ExperimentFactory
from registry.tests.protocol import Tracking

PAGE = 100
# What the pages of an index that is a level deeper at one end may differ.
DEEPER = 1.2
FUNCTION = "registry_search_runs"

# Five runs start in the same millisecond, so that pages end among equals. They lie in
# the table in no order: else the first page's would lie close together, by luck.
FILL = """
INSERT INTO experiment_runs (id, organization_id, created_at, updated_at, project_id,
                             experiment_id, iid, name, status, user_name,
                             start_time_ms, metadata)
SELECT gen_random_uuid(), %(organization)s, now(), now(), %(project)s, %(experiment)s,
       2000000 + n, 'run ' || n, 'FINISHED', '', 1700000000000 + n / 5, '{}'
FROM generate_series(1, %(count)s) n ORDER BY md5(n::text)
"""


def run_sql(statement: str, parameters: dict[str, Any] | None = None) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def fill(cast):
    """Return a function that stores runs in an experiment, past every trigger."""
    experiment = ExperimentFactory(project=cast.fraud)

    def store(count: int) -> str:
        run_sql("SET LOCAL session_replication_role = replica")
        run_sql(
            FILL,
            {
                "organization": cast.acme.pk,
                "project": cast.fraud.pk,
                "experiment": experiment.pk,
                "count": count,
            },
        )
        run_sql("SET LOCAL session_replication_role = origin")
        run_sql("ANALYZE experiment_runs")
        return str(experiment.iid)

    return store


@pytest.fixture
def plans(db) -> Iterator[list[dict[str, Any]]]:
    """What PostgreSQL says of each statement that it runs, newest last."""
    run_sql("LOAD 'auto_explain'")
    for name, value in {
        "auto_explain.log_min_duration": "0",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_buffers": "on",
        "auto_explain.log_timing": "off",
        "auto_explain.log_format": "json",
        "auto_explain.log_level": "notice",
    }.items():
        run_sql(f"SET {name} = '{value}'")
    found: list[dict[str, Any]] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        message = notice.message_primary or ""
        if "plan:" in message:
            found.append(json.loads(message.partition("plan:")[2]))

    raw = connection.connection
    raw.add_notice_handler(hear)
    yield found
    raw.remove_notice_handler(hear)
    run_sql("SET auto_explain.log_min_duration = -1")


def page(client: Tracking, experiment: str, size: int, token: str = "") -> Any:
    return client.ok(
        "runs/search",
        experiment_ids=[experiment],
        max_results=size,
        **({"page_token": token} if token else {}),
    )


def buffers_of(plans: list[dict[str, Any]]) -> int:
    (plan,) = (each["Plan"] for each in plans if FUNCTION in each["Query Text"])
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def measured(plans, client: Tracking, experiment: str, token: str = "") -> int:
    """Read the same page thrice: the first also plans, and reads the catalogs."""
    for _ in range(3):
        plans.clear()
        runs = page(client, experiment, PAGE, token)["runs"]
    assert len(runs) == PAGE
    return buffers_of(plans)


def token_at(client: Tracking, experiment: str, depth: int, step: int) -> str:
    token = ""
    seen: set[str] = set()
    for _ in range(depth // step):
        answer = page(client, experiment, step, token)
        found = {run["info"]["run_id"] for run in answer["runs"]}
        assert len(found) == step
        assert not found & seen
        seen |= found
        token = answer["next_page_token"]
    return token


def compare(plans, client: Tracking, experiment: str, depth: int, step: int) -> None:
    token = token_at(client, experiment, depth, step)
    # Not before: the walk leaves a document for each run, among which they are found.
    first = measured(plans, client, experiment)
    deep = measured(plans, client, experiment, token)
    print(f"buffers of {PAGE} runs: first page {first}, after {depth} runs {deep}")
    assert 0 < deep <= DEEPER * first


def test_a_deep_page_reads_as_little_as_the_first(alice_in_fraud, fill, plans):
    experiment = fill(24_000)
    compare(plans, Tracking(alice_in_fraud), experiment, depth=20_000, step=5_000)


def test_no_page_is_reached_by_counting_off_the_ones_before(db):
    ((source,),) = run_sql(
        "SELECT string_agg(prosrc, ' ') FROM pg_proc WHERE proname = %(name)s",
        {"name": FUNCTION},
    )
    assert "LIMIT" in source
    assert "OFFSET" not in source.upper()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_page_three_hundred_thousand_deep_reads_as_little_as_the_first(
    alice_in_fraud, fill, plans
):
    experiment = fill(310_000)
    compare(plans, Tracking(alice_in_fraud), experiment, depth=300_000, step=10_000)

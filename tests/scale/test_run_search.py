"""Searches in experiments of 5,000 to 100,000 runs, among a million of other tenants.

Judged by the pages that PostgreSQL touches, by what its plans read, and by statements,
not by the clock. Every day the same at a fiftieth of the size.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from conftest import client_of, web_role
from registry.mlflow.run_pages import keys_of, parts_of
from registry.models import Experiment, Run
from registry.search.fields import RUNS
from registry.search.searches import Search
from registry.sql.run_searches import Searched, statement_of
from registry.tests.protocol import Tracking, statements
from registry.tests.relation.plans import nodes_of
from tenants.context import Actor, tenant_transaction
from tenants.models import Organization, Project
from tenants.tests.factories import (
    MembershipFactory,
    OrganizationFactory,
    ProjectFactory,
    UserFactory,
    make_api_token,
)
from tests.scale.test_package_plans import copied
from tests.settings import SUPERUSER_URL, TEST_DATABASE

BUILD_SECONDS = 300
LIMIT = 100
GROWTH = 1.3
TENANTS, OTHER_EXPERIMENTS = 100, 2000
TABLES = ("experiment_runs", "latest_metrics", "run_params", "run_tags")


@dataclass(frozen=True)
class Size:
    """Runs of other tenants, and of our three experiments."""

    others: int
    sizes: tuple[int, int, int]


EVERYDAY = Size(20_000, (400, 800, 4000))
WHOLE = Size(1_000_000, (5000, 20_000, 100_000))


# Rows, by numbers: run k of experiment e, time-ordered as its application makes them.


def key(noun: str, number: str) -> str:
    """Write an id as SQL: one per noun and number, rising with the number."""
    tail = f"substr(md5('{noun}'), 1, 12)"
    digits = f"lpad(to_hex({number}), 12, '0')"
    return f"({digits} || '70008000' || {tail})::uuid"


OTHERS = f"""
    {key("tenant", f"mod(k / %(per)s, {TENANTS})")} AS organization,
    {key("project", f"mod(k / %(per)s, {TENANTS * 5})")} AS project,
    {key("experiment", "k / %(per)s")} AS experiment,
    {key("theirs", "k")} AS run, mod(k, %(per)s) AS n
"""
OURS = f"""
    %(organization)s::uuid AS organization, %(project)s::uuid AS project,
    %(experiment)s::uuid AS experiment,
    {key("ours", "%(first)s + k")} AS run, k AS n
"""
RUN_ROWS = """
INSERT INTO experiment_runs (id, organization_id, project_id, experiment_id, iid, name,
                             status, user_name, start_time_ms, end_time_ms, metadata,
                             created_at, updated_at)
SELECT run, organization, project, experiment, %(first)s + k + 1, 'run ' || k,
       CASE WHEN n %% 50 = 0 THEN 'FAILED' ELSE 'FINISHED' END, 'user',
       1700000000000 + n * 7919::bigint %% 100003 * 60000, 1700000000000 + n, '{{}}',
       now(), now()
FROM (SELECT k, {of} FROM generate_series(0, %(count)s - 1) AS k) AS made
"""
# Multiples of the golden ratio: values spread evenly, also over the runs that have the
# same params, which repeat after 30; and the same each time.
METRIC_ROWS = """
INSERT INTO latest_metrics (id, organization_id, experiment_id, experiment_run_id,
                            metric_name, value, timestamp_ms, step)
SELECT {id}, organization, experiment, run, 'm' || part,
       spread - floor(spread), 0, 0
FROM (SELECT k, {of} FROM generate_series(0, %(count)s - 1) AS k) AS made,
     generate_series(0, %(metrics)s - 1) AS part,
     LATERAL (SELECT n / 30 * (part + 1) * 0.618033988749895::float8
                     + n %% 30 / 30.0 AS spread) AS golden
"""
PARAM_ROWS = """
INSERT INTO run_params (id, organization_id, experiment_id, experiment_run_id, key,
                        value, created_at)
SELECT {id}, organization, experiment, run, 'p' || part,
       'v' || n / (part + 1) %% 10, now()
FROM (SELECT k, {of} FROM generate_series(0, %(count)s - 1) AS k) AS made,
     generate_series(0, %(params)s - 1) AS part
"""
TAG_ROWS = """
INSERT INTO run_tags (id, organization_id, experiment_id, experiment_run_id, key, value)
SELECT {id}, organization, experiment, run, 't' || part,
       'some words about ' || n %% 1000
FROM (SELECT k, {of} FROM generate_series(0, %(count)s - 1) AS k) AS made,
     generate_series(0, %(tags)s - 1) AS part
"""
PART_ID = key("part", "(%(first)s + k) * 16 + part")
ROWS = (RUN_ROWS, METRIC_ROWS, PARAM_ROWS, TAG_ROWS)
# A metric that one run of a thousand has.
RARE = f"""
INSERT INTO latest_metrics (id, organization_id, experiment_id, experiment_run_id,
                            metric_name, value, timestamp_ms, step)
SELECT gen_random_uuid(), organization, experiment, run, 'rare', n, 0, 0
FROM (SELECT k, {OURS} FROM generate_series(0, %(count)s - 1, 1000) AS k) AS made
"""
# Indexes of no constraint are built behind the rows: a third of the time.
SPARE_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = ANY (%s::regclass[]) AND NOT indisunique
"""


@dataclass
class Crowd:
    size: Size
    acme: Organization
    project: Project
    tracking: Tracking
    experiments: list[Experiment] = field(default_factory=list)
    seconds: float = 0


@pytest.fixture(
    scope="module",
    params=[
        EVERYDAY,
        pytest.param(WHOLE, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
    ids=["everyday", "whole"],
)
def crowd(request, django_db_setup, django_db_blocker) -> Iterator[Crowd]:
    with django_db_blocker.unblock(), copied(f"{TEST_DATABASE}_searched") as name:
        made = settle(request.param)
        began = time.monotonic()
        fill(name, made)
        made.seconds = time.monotonic() - began
        warm(made)
        yield made


def settle(size: Size) -> Crowd:
    acme = OrganizationFactory(slug="acme")
    alice = UserFactory(username="alice")
    MembershipFactory(organization=acme, user=alice, role="owner")
    project = ProjectFactory(organization=acme, slug="fraud")
    token = make_api_token(alice, acme, project)
    crowd = Crowd(size, acme, project, Tracking(client_of(token.text)))
    for count in size.sizes:
        number = crowd.tracking.experiment(f"of {count}")
        experiment = Experiment._base_manager.get(project=project, iid=number)
        crowd.experiments.append(experiment)
    return crowd


def fill(database: str, crowd: Crowd) -> None:
    with psycopg.connect(SUPERUSER_URL, dbname=database) as superuser:
        superuser.execute("SET session_replication_role = replica")
        with without_indexes(superuser):
            few = {"metrics": 1, "params": 1, "tags": 1}
            count = crowd.size.others
            of = {"count": count, "first": 0, "per": count // OTHER_EXPERIMENTS, **few}
            for rows in ROWS:
                superuser.execute(rows.format(of=OTHERS, id=PART_ID), of)
            for place, experiment in enumerate(crowd.experiments):
                fill_one(superuser, crowd, place, experiment)
        superuser.commit()
        superuser.autocommit = True
        superuser.execute(f"VACUUM ANALYZE {', '.join(TABLES)}, experiments")


def fill_one(superuser: Any, crowd: Crowd, place: int, experiment: Experiment) -> None:
    of = {
        "organization": crowd.acme.pk,
        "project": crowd.project.pk,
        "experiment": experiment.pk,
        "count": crowd.size.sizes[place],
        "first": (place + 1) * 10_000_000,
        "metrics": 10,
        "params": 8,
        "tags": 6,
    }
    for rows in ROWS:
        superuser.execute(rows.format(of=OURS, id=PART_ID), of)
    superuser.execute(RARE, of)


@contextmanager
def without_indexes(superuser: Any) -> Iterator[None]:
    superuser.execute("SET maintenance_work_mem = '256MB'")
    spare = superuser.execute(SPARE_INDEXES, [list(TABLES)]).fetchall()
    for name, _ in spare:
        superuser.execute(f"DROP INDEX {name}")
    yield
    for _, definition in spare:
        superuser.execute(definition)


def warm(crowd: Crowd) -> None:
    """Have the documents of the measured pages built: each is built but once."""
    for place in range(3):
        for after in ("", deep_token(crowd, place)):
            search(crowd, place, page_token=after)


def search(crowd: Crowd, place: int, **body: Any) -> dict[str, Any]:
    number = str(crowd.experiments[place].iid)
    return crowd.tracking.ok(
        "runs/search", experiment_ids=[number], **{"max_results": LIMIT, **body}
    )


def deep_token(crowd: Crowd, place: int) -> str:
    """Return the token of the page at half the way of the shortest experiment."""
    deep = crowd.size.sizes[0] // 2
    return search(crowd, place, max_results=deep)["next_page_token"]


# Measuring


def buffers_of(plan: dict[str, Any]) -> int:
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def explained(crowd: Crowd, statement: str, parameters: Sequence[Any]) -> dict:
    actor = Actor(kind="user", organization_id=crowd.acme.pk)
    with tenant_transaction(actor), web_role(), connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters
        )
        (text,) = cursor.fetchone()
        found = text if isinstance(text, list) else json.loads(text)
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


PLAIN = """
SELECT registry_search_runs(%s, %s, %s::bigint[], 'active', %s, NULL, %s, %s)
"""
START = """
SELECT start_time_ms, id FROM experiment_runs WHERE experiment_id = %s
ORDER BY start_time_ms DESC, id OFFSET %s LIMIT 1
"""


def plain_page(crowd: Crowd, place: int, *, deep: int) -> int:
    """Return the buffers of a page behind the first `deep` runs."""
    experiment = crowd.experiments[place]
    with connection.cursor() as cursor:
        cursor.execute(START, [experiment.pk, deep])
        start, run = cursor.fetchone()
    ids = [crowd.acme.pk, crowd.project.pk, [experiment.iid]]
    parameters = [*ids, LIMIT, start + (deep == 0), run]
    # Twice: the first one also plans, and reads the catalogs.
    return min(buffers_of(explained(crowd, PLAIN, parameters)) for _ in range(2))


def found_page(
    crowd: Crowd, places: Sequence[int], text: str = "", order: Sequence[str] = ()
) -> dict[str, Any]:
    """Return how a filtered or ordered search finds its runs, without their documents:
    these cost the same for every search."""
    keys = [crowd.experiments[place].pk for place in places]
    searched = Searched(crowd.acme.pk, crowd.project.pk, keys)
    asked = Search.of(RUNS, text, order)
    with tenant_transaction(Actor(kind="user", organization_id=crowd.acme.pk)):
        parts, in_turn = parts_of(asked, searched, "active", [])
        statement = statement_of(
            parts, keys_of(asked), searched=searched, limit=LIMIT, in_turn=in_turn
        )
    plan = explained(crowd, *statement)
    (found,) = (n for n in nodes_of(plan) if n.get("Subplan Name") == "CTE found")
    return found


def count_of(crowd: Crowd, place: int, text: str) -> int:
    keys = [crowd.experiments[place].pk]
    with tenant_transaction(Actor(kind="user", organization_id=crowd.acme.pk)):
        rows = Run.objects.filter(experiment_id__in=keys)
        return Search.of(RUNS, text).restrict(rows, within=keys).count()


def most_read(plan: dict[str, Any]) -> int:
    """The most rows that any step of the plan looked at, all its rounds together."""
    return max(
        round(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            * node["Actual Loops"]
        )
        for node in nodes_of(plan)
    )


def shape(plan: dict[str, Any]) -> str:
    return "\n".join(
        f"{node['Node Type']} {node.get('Index Name', node.get('Relation Name', ''))}:"
        f" {node['Actual Rows']} rows x {node['Actual Loops']},"
        f" {node['Plan Rows']} expected, {buffers_of(node)} buffers"
        for node in nodes_of(plan)
    )


# What is asked


FILTER = "metrics.m3 > 0.9 and params.p2 = 'v7'"
# How many pages a search may touch for each run of the experiment: an index alone; rows
# behind it, where texts are longer than what an index holds; or a look-up for each run.
INDEX, ROW, LOOKUP = 0.15, 1.2, 6
SEARCHES: list[tuple[str, list[str], float]] = [
    (FILTER, ["metrics.m1 DESC"], INDEX),
    (FILTER, [], INDEX),
    ("tags.t3 LIKE '%about 77%'", [], ROW),
    ("tags.t3 LIKE 'some words%'", [], ROW),
    ("tags.t3 = 'some words about 77'", [], INDEX),
    ("metrics.m3 > 0.1", [], INDEX),
    ("metrics.m3 != 0.5", ["metrics.m3"], LOOKUP),
    ("params.p5 IS NULL", [], LOOKUP),
    ("tags.none IS NULL", [], INDEX),
    ("attributes.status = 'FAILED'", [], INDEX),
    ("attributes.status = 'KILLED'", [], INDEX),
    ("attributes.end_time > 1", ["end_time"], INDEX),
    ("", ["metrics.m1 DESC"], INDEX),
    ("", ["metrics.rare"], INDEX),
    ("", ["params.p3 DESC"], ROW),
    ("", ["tags.t4"], ROW),
    ("", ["start_time ASC"], INDEX),
    ("", ["end_time DESC"], INDEX),
    ("", ["status", "end_time"], INDEX),
]
IDS = [f"{text}; {', '.join(order)}" for text, order, _ in SEARCHES]


def test_a_million_runs_are_built_in_five_minutes(crowd):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM experiment_runs")
        (count,) = cursor.fetchone()
    assert count == crowd.size.others + sum(crowd.size.sizes)
    assert crowd.seconds < BUILD_SECONDS, crowd.seconds


@pytest.mark.parametrize("deep", [0, 1], ids=["the first page", "a page far behind"])
def test_a_plain_page_costs_the_same_however_long_the_experiment(crowd, deep, capsys):
    deep *= crowd.size.sizes[0] // 2
    costs = [plain_page(crowd, place, deep=deep) for place in range(3)]
    tell(capsys, f"plain page behind {deep}", costs)
    assert max(costs) <= GROWTH * costs[0]
    assert costs[0] < 10 * LIMIT


def test_a_filtered_page_costs_what_meets_its_filter(crowd, capsys):
    for place, count in enumerate(crowd.size.sizes):
        plan = found_page(crowd, [place], FILTER, ["metrics.m1 DESC"])
        tell(capsys, f"filtered page of {count}", [buffers_of(plan)])
        matches = count_of(crowd, place, FILTER)
        assert count / 200 <= matches <= count / 50
        # Of each that meets both, the run and its metric are looked up.
        assert buffers_of(plan) <= 20 + matches * 10, shape(plan)


@pytest.mark.parametrize("text,order,each", SEARCHES, ids=IDS)
def test_a_search_reads_its_own_experiment_alone(crowd, text, order, each):
    for place, count in enumerate(crowd.size.sizes):
        plan = found_page(crowd, [place], text, order)
        assert most_read(plan) <= count, shape(plan)
        assert buffers_of(plan) <= 4 * LIMIT + count * each, shape(plan)


@pytest.mark.parametrize("order", ["metrics.m1 DESC", "metrics.rare", "metrics.m7"])
def test_a_page_by_a_metric_costs_the_same_however_long_the_experiment(
    crowd, order, capsys
):
    costs = [buffers_of(found_page(crowd, [place], "", [order])) for place in range(3)]
    tell(capsys, f"page by {order}", costs)
    assert max(costs) <= 6 * LIMIT


def test_a_search_over_experiments_reads_these_alone(crowd):
    plan = found_page(crowd, range(3), FILTER, ["metrics.m1 DESC"])
    assert most_read(plan) <= sum(crowd.size.sizes), shape(plan)
    assert buffers_of(plan) <= 20 + sum(crowd.size.sizes) // 100 * 10


def test_without_the_index_the_check_fails(crowd):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DROP INDEX latest_metrics_by_value, run_params_by_value")
        plan = found_page(crowd, [1], FILTER, ["metrics.m1 DESC"])
        assert most_read(plan) > crowd.size.sizes[1]
        transaction.set_rollback(True)


@pytest.mark.parametrize("size", [1, 10, 300])
def test_the_statements_of_a_search_are_few_whatever_its_size(crowd, size):
    for place in range(3):
        ids = [str(crowd.experiments[place].iid)]
        for body, expected in (
            ({}, 1),
            ({"filter": "metrics.m3 > 0.1"}, 2),
            ({"order_by": ["params.p2"], "run_view_type": "ALL"}, 2),
        ):
            response = crowd.tracking.post(
                "runs/search", experiment_ids=ids, max_results=size, **body
            )
            assert len(response.json()["runs"]) == size
            assert statements(response) == expected


def test_a_search_answers_in_time(crowd, capsys):
    for title, body in (
        ("plain", {}),
        ("filter and order", {"filter": FILTER, "order_by": ["metrics.m1 DESC"]}),
        ("order by a metric", {"order_by": ["metrics.m1 DESC"]}),
        ("LIKE", {"filter": "tags.t3 LIKE '%about 77%'"}),
    ):
        took = [answer_ms(crowd, place, body) for place in range(3)]
        tell(capsys, f"{title}, ms", took)
        assert max(took) < 2000


def answer_ms(crowd: Crowd, place: int, body: dict[str, Any]) -> float:
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        assert search(crowd, place, **body)
        rounds.append((time.perf_counter() - began) * 1000)
    return round(min(rounds), 1)


def tell(capsys: Any, title: str, figures: Sequence[float]) -> None:
    with capsys.disabled():
        print(f"\n{title}: {', '.join(map(str, figures))}")

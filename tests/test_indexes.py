"""The eight indexes: they stand as promised, and each one's reader uses it.

In a copy of the test database, filled past 100,000 rows a table, so that no other test
meets these rows. Plans are judged by the name of the index and by pages touched, never
by seconds. Every query runs twice: as the superuser, and as the web role, whom
row-level security binds to its tenant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connections
from django.db.models import QuerySet
from psycopg import sql

from audit.models import AuditLog
from monitoring.models import Alert, DriftReport, MonitoringPoint
from registry.models import Metric, ModelVersion
from tenants.context import Actor, binding, tenant_transaction
from tenants.models import Membership, ProjectMember
from tests.settings import SUPERUSER_URL, TEST_DATABASE

ROWS = 120_000
ALIAS = "indexes"
NOW = datetime.now(UTC).replace(microsecond=0)

# The seed's columns in the seed's order; further ones may stand behind them.
SEED = {
    "idx_organization_memberships_org_user": (
        "organization_memberships",
        ["organization_id", "user_id"],
    ),
    "idx_project_members_project_user": ("project_members", ["project_id", "user_id"]),
    "idx_model_versions_model_stage": ("model_versions", ["model_id", "stage"]),
    "idx_run_metrics_run_name": ("run_metrics", ["experiment_run_id", "metric_name"]),
    "idx_model_monitoring_deployment_metric": (
        "model_monitoring",
        ["deployment_id", "metric_name", "recorded_at"],
    ),
    "idx_data_drift_reports_deployment_period": (
        "data_drift_reports",
        ["deployment_id", "period_start", "period_end"],
    ),
    "idx_alerts_org_status_triggered": (
        "alerts",
        ["organization_id", "status", "triggered_at"],
    ),
    "idx_audit_logs_org_created": ("audit_logs", ["organization_id", "created_at"]),
}
PARTITIONED = ("idx_model_monitoring_deployment_metric", "idx_audit_logs_org_created")


# Rows: organization, project, run and so on number k are told apart by a digest of k.


def number(kind: str, k: int) -> UUID:
    return UUID(md5(f"{kind} {k}".encode(), usedforsecurity=False).hexdigest())


def numbered(kind: str, k: str) -> str:
    """Write the same in SQL, where `k` is an expression over the row's number n."""
    return f"md5('{kind} ' || ({k}))::uuid"


ORGANIZATION = number("organization", 7)


def moment(step: str) -> str:
    """Spread rows backwards from NOW, one `step` each, over less than 28 days."""
    return f"timestamptz '{NOW.isoformat()}' - n * interval '{step}'"


def time_ordered(at: str) -> str:
    """Write a UUIDv7 of the moment `at`, which must not fall out of its month."""
    ms = f"lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0')"
    rest = "'7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15)"
    return f"({ms} || {rest})::uuid"


TABLES: dict[str, dict[str, str]] = {
    "organization_memberships": {
        "organization_id": numbered("organization", "n % 60"),
        "user_id": numbered("user", "n / 60"),
        "role": "'member'",
    },
    "project_members": {
        "organization_id": numbered("organization", "n % 60"),
        "project_id": numbered("project", "n % 600"),
        "user_id": numbered("user", "n / 600"),
        "role": "'viewer'",
    },
    "model_versions": {
        "organization_id": numbered("organization", "n % 40"),
        "model_id": numbered("model", "n % 400"),
        "version": "n / 400 + 1",
        "stage": "CASE WHEN n / 400 = 299 THEN 'Production'"
        " WHEN n / 400 > 290 THEN 'Staging' ELSE 'Archived' END",
        "status": "'READY'",
    },
    "run_metrics": {
        "organization_id": numbered("organization", "n % 10"),
        "experiment_run_id": numbered("run", "n % 200"),
        "metric_name": "'metric-' || n / 200 % 6",
        "step": "n / 1200",
        "value": "n",
    },
    "model_monitoring": {
        "id": time_ordered(moment("20 seconds")),
        "organization_id": numbered("organization", "n % 10"),
        "deployment_id": numbered("deployment", "n % 50"),
        "metric_name": "'metric-' || n / 50 % 4",
        "recorded_at": moment("20 seconds"),
        "value": "n",
    },
    "data_drift_reports": {
        "organization_id": numbered("organization", "n % 10"),
        "deployment_id": numbered("deployment", "n % 50"),
        "period_start": moment("18 seconds"),
        "period_end": f"{moment('18 seconds')} + interval '1 hour'",
        "status": "'done'",
    },
    "alerts": {
        "organization_id": numbered("organization", "n % 10"),
        "status": "CASE WHEN n / 10 % 100 = 0 THEN 'acknowledged'"
        " WHEN n / 10 % 100 = 1 THEN 'active' ELSE 'resolved' END",
        "severity": "'warning'",
        "fingerprint": "md5(n::text)",
        "triggered_at": moment("20 seconds"),
        "resolved_at": "CASE WHEN n / 10 % 100 > 1 THEN now() END",
    },
    "audit_logs": {
        "id": time_ordered(moment("20 seconds")),
        "organization_id": numbered("organization", "n % 10"),
        "created_at": moment("20 seconds"),
        "action": "'run.update'",
        "outcome": "'ok'",
    },
}

# What else a table insists on gets something of its type.
PLAIN = {
    "uuid": numbered("other", "n"),
    "jsonb": "'{}'",
    "bool": "false",
    "timestamptz": "now()",
    "int4": "0",
    "int8": "0",
    "float8": "0",
    "varchar": "''",
    "text": "''",
}

REQUIRED = """
SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
  AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
"""


def fill(superuser: psycopg.Connection, table: str, known: dict[str, str]) -> None:
    required = superuser.execute(REQUIRED, [table]).fetchall()
    values = {column: PLAIN[kind] for column, kind in required} | known
    superuser.execute(
        f"INSERT INTO {table} ({', '.join(values)})"
        f" SELECT {', '.join(values.values())} FROM generate_series(0, {ROWS - 1}) n"
    )


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Fill a copy of the test database, reachable as the alias of this module."""
    copy = f"{TEST_DATABASE}_indexes"
    names = {"copy": sql.Identifier(copy), "of": sql.Identifier(TEST_DATABASE)}
    with (
        django_db_blocker.unblock(),
        psycopg.connect(SUPERUSER_URL, autocommit=True) as server,
    ):
        connections.close_all()  # a template must have no other visitor
        server.execute(sql.SQL("CREATE DATABASE {copy} TEMPLATE {of}").format(**names))
        connections.settings[ALIAS] = {**connections.settings["default"], "NAME": copy}
        try:
            with psycopg.connect(SUPERUSER_URL, dbname=copy) as superuser:
                superuser.execute("SET session_replication_role = replica")
                for table, known in TABLES.items():
                    fill(superuser, table, known)
                superuser.commit()
                superuser.autocommit = True
                superuser.execute(f"VACUUM ANALYZE {', '.join(TABLES)}")
            yield
        finally:
            connections[ALIAS].close()
            del connections[ALIAS]
            del connections.settings[ALIAS]
            server.execute(sql.SQL("DROP DATABASE {copy} WITH (FORCE)").format(**names))


def ask(query: str, *parameters: str) -> list[tuple]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


# Readers


@dataclass(frozen=True)
class Reader:
    """Who reads by an index, how many rows it gets, and how many pages it may touch."""

    index: str
    what: str
    query: Callable[[], QuerySet]
    rows: int
    pages: int


READERS = [
    Reader(
        "idx_organization_memberships_org_user",
        "a page of an organization's members",
        lambda: Membership.objects.order_by("user_id")[:50],
        rows=50,
        pages=60,
    ),
    Reader(
        "idx_project_members_project_user",
        "whether a user is a member of a project",
        lambda: ProjectMember.objects.filter(
            project_id=number("project", 67), user_id=number("user", 11)
        ),
        rows=1,
        pages=8,
    ),
    Reader(
        "idx_model_versions_model_stage",
        "the versions of a model in a common stage",
        lambda: ModelVersion.objects.in_stage("Staging").filter(
            registered_model_id=number("model", 47)
        ),
        rows=8,
        pages=16,
    ),
    Reader(
        "idx_model_versions_model_stage",
        "a model's version in production",
        lambda: ModelVersion.objects.in_stage("Production").filter(
            registered_model_id=number("model", 47)
        ),
        rows=1,
        pages=8,
    ),
    Reader(
        "idx_run_metrics_run_name",
        "one curve of a run",
        lambda: (
            Metric.objects.filter(run_id=number("run", 57), name="metric-3")
            .order_by("step")
            .values_list("step", "value")
        ),
        rows=100,
        pages=8,
    ),
    Reader(
        "idx_model_monitoring_deployment_metric",
        "one metric of a deployment over a day",
        lambda: (
            MonitoringPoint.objects.between(NOW - timedelta(days=1), NOW)
            .filter(deployment_id=number("deployment", 7), metric_name="metric-2")
            .order_by("recorded_at")
            .values_list("recorded_at", "value")
        ),
        rows=22,
        pages=34,
    ),
    Reader(
        "idx_data_drift_reports_deployment_period",
        "a deployment's reports inside a day",
        lambda: DriftReport.objects.filter(
            deployment_id=number("deployment", 7),
            period_start__gte=NOW - timedelta(days=2),
            period_start__lt=NOW - timedelta(days=1),
            period_end__lte=NOW - timedelta(days=1),
        ).order_by("period_start"),
        rows=92,
        pages=108,
    ),
    Reader(
        "idx_alerts_org_status_triggered",
        "an organization's alerts in one state within a week, newest first",
        lambda: Alert.objects.filter(
            status="resolved", triggered_at__gte=NOW - timedelta(days=7)
        ).order_by("-triggered_at")[:20],
        rows=20,
        pages=30,
    ),
    Reader(
        "idx_audit_logs_org_created",
        "what happened in an organization within an hour",
        lambda: (
            AuditLog.objects.since(NOW - timedelta(hours=3))
            .filter(created_at__lt=NOW - timedelta(hours=2))
            .order_by("-created_at")
        ),
        rows=18,
        pages=30,
    ),
]


@contextmanager
def as_superuser() -> Iterator[None]:
    """Past row-level security: only the query itself names the organization."""
    with binding(ORGANIZATION, Actor(kind="command", label="test")):
        yield


@contextmanager
def as_web_role() -> Iterator[None]:
    actor = Actor(kind="command", label="test", organization_id=ORGANIZATION)
    with tenant_transaction(actor, using=ALIAS):
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SET LOCAL ROLE app_rw")
        yield


@pytest.mark.parametrize("role", [as_superuser, as_web_role])
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.what)
def test_reader_uses_its_index(filled, reader: Reader, role) -> None:
    with role():
        plan = explain(reader.query())
    assert reader.index in {root_of(name) for name in indexes_in(plan)}
    assert plan["Actual Rows"] == reader.rows
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= reader.pages


@pytest.mark.parametrize("role", [as_superuser, as_web_role])
def test_member_check_takes_one_step_by_either_index_of_the_pair(filled, role) -> None:
    """Its unique companion holds the same pair, turned round, and costs the same."""
    pair = Membership.objects.filter(user_id=number("user", 11))
    with role():
        plan = explain(pair)
    assert indexes_in(plan) <= {
        "idx_organization_memberships_org_user",
        "idx_organization_memberships_of_user",
    }
    assert plan["Actual Rows"] == 1
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 8


@pytest.mark.parametrize("table", TABLES)
def test_web_role_meets_its_own_rows_only(filled, table) -> None:
    """The plans above were made under row-level security, not beside it."""
    with as_web_role():
        seen = ask(f"SELECT organization_id, count(*) FROM {table} GROUP BY 1")
    ((everything,),) = ask(f"SELECT count(*) FROM {table}")
    assert everything >= ROWS  # tests that commit may have left more
    assert [organization for organization, _ in seen] == [ORGANIZATION]
    assert 0 < seen[0][1] < ROWS / 5


def test_every_index_of_the_seed_has_a_reader():
    assert {reader.index for reader in READERS} == set(SEED)


INDEX = """
SELECT i.indrelid::regclass::text, am.amname,
       i.indisvalid AND i.indisready AND i.indislive,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true)
             FROM generate_series(1, i.indnkeyatts) k),
       coalesce(pg_get_expr(i.indpred, i.indrelid), '')
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am am ON am.oid = c.relam
WHERE c.relname = %s
"""


@pytest.mark.parametrize("index", SEED)
def test_index_stands_on_the_columns_of_the_seed(filled, index) -> None:
    table, columns = SEED[index]
    ((found_on, method, is_valid, keys, predicate),) = ask(INDEX, index)
    assert (found_on, method, is_valid) == (table, "btree", True)
    assert keys[: len(columns)] == columns
    assert predicate in {"", "(deleted_at IS NULL)"}


# Months of the index's table, each with its own part of the index, if it has one.
MONTHS = """
SELECT month.inhrelid::regclass::text, part.indexrelid::regclass::text, part.indisvalid
FROM pg_index whole
JOIN pg_inherits month ON month.inhparent = whole.indrelid
LEFT JOIN (pg_inherits i JOIN pg_index part ON part.indexrelid = i.inhrelid)
       ON i.inhparent = whole.indexrelid AND part.indrelid = month.inhrelid
WHERE whole.indexrelid = %s::regclass
"""


@pytest.mark.parametrize("index", PARTITIONED)
def test_every_month_has_its_part_of_the_index(filled, index) -> None:
    months = ask(MONTHS, index)
    assert len(months) >= 5
    assert [month for month, part, is_valid in months if not (part and is_valid)] == []


def explain(query: QuerySet) -> dict[str, Any]:
    """Run the query and return its plan, with what it touched."""
    text = query.using(ALIAS).explain(format="json", analyze=True, buffers=True)
    return json.loads(text)[0]["Plan"]


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes_of(below)


def indexes_in(plan: dict[str, Any]) -> set[str]:
    return {node["Index Name"] for node in nodes_of(plan) if "Index Name" in node}


def root_of(index: str) -> str:
    """Name the parent's index for that of a month; any other keeps its own name."""
    ((name,),) = ask(
        "SELECT coalesce(pg_partition_root(%s::regclass), %s::regclass)::text",
        index,
        index,
    )
    return name

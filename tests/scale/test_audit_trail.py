"""Four million entries of a hundred organizations over fourteen months: what it costs
to read them.

Judged by the pages that PostgreSQL touches for the statements that requests really
send, and by the memory of an export. Every day the same at a hundredth of the size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.partitions import POLICIES
from conftest import WebClient, client_of, web_role
from mlops.db import partitions
from mlops.db.partitions import month_start
from mlops.db.uuid7 import floor
from tenants.context import Actor, tenant_transaction
from tenants.models import Organization
from tenants.tests.factories import (
    MembershipFactory,
    OrganizationFactory,
    UserFactory,
    make_api_token,
)
from tenants.tests.superuser import AdminClient, superuser
from tests.scale.test_package_plans import copied
from tests.settings import SUPERUSER_URL, TEST_DATABASE

ROOT = Path(__file__).resolve().parents[2]
(POLICY,) = POLICIES
MONTHS = 13
MOST_BUFFERS = 60
# Of an organization that writes three entries a month a page is spread over all months,
# each of which is entered from its root.
SPREAD_BUFFERS = 110
MOST_GROWTH_BYTES = 64 * 1024**2
LIMIT = 50
# Of each organization: actors, and objects. Their ids do not tell when they were made,
# so that all months have to be looked at.
ACTORS, OBJECTS = 20, 400


@dataclass(frozen=True)
class Size:
    entries: int
    organizations: int
    page: int


EVERYDAY = Size(40_000, 20, 60)
WHOLE = Size(4_000_000, 100, 800)

# Of a hundred organizations the first owns a quarter of all entries, the last one in
# three hundred. Numbers walk by the golden ratio, so that neighbours are of different
# ones.
FILL = """
INSERT INTO audit_logs (
    id, organization_id, project_id, created_at, transaction_id, actor_kind, actor_id,
    actor_label, token_public_id, request_id, address, route, action, outcome,
    object_type, object_id, object_label, before, after, reason, db_role,
    application_name, backend_pid)
SELECT uuid7_at(moment), owner, NULL, moment, k / 3, 'user',
       overlay(md5(owner::text || 'a' || k %% {actors}) placing '4' from 13)::uuid, '',
       'abcdefABCDEF', md5(k::text), '192.0.2.0/24',
       'PATCH api/v1/organizations/<slug:organization>/projects/<slug:project>/',
       CASE WHEN k %% 50000 = 7 THEN 'registry.alias.deleted'
            ELSE 'registry.model_version.updated' END,
       'ok', 'model_versions',
       overlay(md5(owner::text || k / 7 %% {objects}) placing '4' from 13)::uuid, 'v1',
       '{{"stage": "Staging", "description": "what it was before, in some words"}}',
       '{{"stage": "Production", "description": "what it is from now on, in others"}}',
       '', 'app_rw', 'mlops/web', 4711
FROM generate_series(0, %(count)s - 1) AS k,
     LATERAL (SELECT k * 0.618033988749895::float8 AS g) AS golden,
     LATERAL (SELECT g - floor(g) AS u) AS spread,
     LATERAL (SELECT %(start)s::timestamptz + (%(end)s::timestamptz - %(start)s) *
                     (k / %(count)s::float8) AS moment) AS at,
     LATERAL (SELECT (%(owners)s::uuid[])[1 + floor({organizations} * u ^ 3.4)::int]
              AS owner) AS of
""".replace("{actors}", str(ACTORS)).replace("{objects}", str(OBJECTS))
INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = 'audit_logs'::regclass AND NOT indisunique
"""


@dataclass
class Trail:
    size: Size
    owners: list[Organization]
    quiet: Organization
    empty: Organization
    user: Any
    root: AdminClient
    database: str = ""
    seconds: float = 0.0
    clients: dict[UUID, WebClient] = field(default_factory=dict)

    def client(self, organization: Organization) -> WebClient:
        return self.clients[organization.pk]

    @property
    def big(self) -> Organization:
        return self.owners[0]

    @property
    def small(self) -> Organization:
        return self.owners[-1]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(EVERYDAY, id="everyday"),
        pytest.param(
            WHOLE, id="whole", marks=[pytest.mark.soak, pytest.mark.timeout(3000)]
        ),
    ],
)
def trail(request, django_db_setup, django_db_blocker) -> Iterator[Trail]:
    with django_db_blocker.unblock(), copied(f"{TEST_DATABASE}_trail") as name:
        made = settle(request.param)
        made.database = name
        began = time.monotonic()
        fill(made)
        made.seconds = time.monotonic() - began
        yield made


def settle(size: Size) -> Trail:
    owners = [OrganizationFactory() for _ in range(size.organizations)]
    quiet, empty = OrganizationFactory(slug="quiet"), OrganizationFactory(slug="empty")
    user = UserFactory(username="auditor")
    made = Trail(size, owners, quiet, empty, user, superuser())
    for organization in (owners[0], owners[len(owners) // 2], owners[-1], quiet, empty):
        MembershipFactory(organization=organization, user=user, role="owner")
        token = make_api_token(user, organization)
        made.clients[organization.pk] = client_of(token.text)
    return made


def fill(made: Trail) -> None:
    now = datetime.now(UTC)
    start = month_start(now, -MONTHS)
    steps = [
        partitions._create(POLICY, month)
        for month in partitions.months_between(start, month_start(now, -2))
    ]
    assert {step.state for step in partitions.apply(connection, steps)} == {"done"}
    until = now - timedelta(minutes=1)
    with psycopg.connect(SUPERUSER_URL, dbname=made.database) as session:
        session.execute("SET session_replication_role = replica")
        # What the factories left must be older: a page of the empty one shows nothing.
        session.execute("DELETE FROM audit_logs")
        session.execute("SET maintenance_work_mem = '256MB'")
        spare = session.execute(INDEXES).fetchall()
        for name, _ in spare:
            session.execute(f"DROP INDEX {name}")
        owners = [organization.pk for organization in made.owners]
        write(session, owners, made.size.entries, start, until)
        write(session, [made.quiet.pk], 3 * (MONTHS + 1), start, until)
        for _, definition in spare:
            session.execute(definition.replace(" ON ONLY ", " ON "))
        session.commit()
        session.autocommit = True
        session.execute("VACUUM ANALYZE audit_logs")


def write(session: Any, owners: list[UUID], count: int, start: Any, end: Any) -> None:
    statement = FILL.replace("{organizations}", str(len(owners)))
    statement = statement.replace("{{", "{").replace("}}", "}")
    of = {"owners": owners, "count": count, "start": start, "end": end}
    session.execute(statement, of)


# Measuring


def reads_of(ask: Callable[[], Any]) -> list[str]:
    """Return the statements over the trail that a request sends."""
    with CaptureQueriesContext(connection) as captured:
        answer = ask()
    assert answer.status_code == 200
    statements = [query["sql"] for query in captured]
    return [text for text in statements if text.startswith("SELECT") and is_read(text)]


def is_read(statement: str) -> bool:
    return 'FROM "audit_logs"' in statement


def buffers_of(organization: Organization, statements: list[str]) -> int:
    """Count the pages that they touch, in the context in which they were sent."""
    actor = Actor(kind="user", organization_id=organization.pk)
    found = 0
    for statement in statements:
        with tenant_transaction(actor), web_role(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
            (text,) = cursor.fetchone()
        plan = (text if isinstance(text, list) else json.loads(text))[0]["Plan"]
        found += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return found


def page_costs(trail: Trail, organization: Organization, query: str = "") -> int:
    client = trail.client(organization)
    address = address_of(organization, query)
    return buffers_of(organization, reads_of(lambda: client.get(address)))


def address_of(organization: Organization, query: str = "") -> str:
    place = f"/api/v1/organizations/{organization.slug}/audit-logs/"
    return f"{place}?limit={LIMIT}{query}"


def tell(capsys: Any, trail: Trail, **numbers: Any) -> None:
    with capsys.disabled():
        told = ", ".join(f"{name} {value}" for name, value in numbers.items())
        print(f"\n  {trail.size.entries:,} entries: {told}")


def counted(organization: Organization) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM audit_logs WHERE organization_id = %s",
            [organization.pk],
        )
        return int(cursor.fetchone()[0])


def test_organizations_are_of_unequal_size(trail, capsys):
    big, small = counted(trail.big), counted(trail.small)
    tell(capsys, trail, big=big, small=small, built=f"{trail.seconds:.0f} s")
    assert big >= trail.size.entries / 4.5
    assert 0 < small < big / 20
    assert counted(trail.quiet) == 3 * (MONTHS + 1)
    assert counted(trail.empty) == 0


def test_the_newest_entries_cost_few_pages_for_any_organization(trail, capsys):
    middle = trail.owners[len(trail.owners) // 2]
    asked = {"big": trail.big, "middle": middle, "small": trail.small}
    costs = {
        name: page_costs(trail, organization) for name, organization in asked.items()
    }
    costs["empty"] = page_costs(trail, trail.empty)
    quiet = page_costs(trail, trail.quiet)
    tell(capsys, trail, **costs, quiet=quiet)
    assert max(costs.values()) <= MOST_BUFFERS
    assert quiet <= SPREAD_BUFFERS


def test_a_deep_page_costs_what_the_first_one_costs(trail, capsys):
    client, address = trail.client(trail.big), address_of(trail.big)
    for _ in range(trail.size.page - 1):
        address = client.get(address).json()["next"]
    cost = buffers_of(trail.big, reads_of(lambda: client.get(address)))
    tell(capsys, trail, page=trail.size.page, buffers=cost)
    assert cost <= MOST_BUFFERS


def row_of(organization: Organization, column: str) -> UUID:
    """Return an object or an actor of one of the newest entries."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM audit_logs WHERE organization_id = %s"
            " ORDER BY id DESC LIMIT 1",
            [organization.pk],
        )
        return UUID(str(cursor.fetchone()[0]))


@pytest.mark.parametrize("which", ["big", "small"])
def test_the_history_of_one_object_costs_few_pages(trail, capsys, which):
    organization = getattr(trail, which)
    key = row_of(organization, "object_id")
    query = f"&object_type=model_versions&object_id={key}"
    cost = page_costs(trail, organization, query)
    tell(capsys, trail, of=which, object_history=cost)
    assert cost <= MOST_BUFFERS + (which == "small") * SPREAD_BUFFERS


def test_the_history_of_a_young_object_looks_at_no_month_before_it(trail, capsys):
    """An id tells when it was made, so the months before are not entered."""
    month = month_start(datetime.now(UTC))
    key = UUID(int=floor(month).int | 0x7 << 76 | 0b10 << 62)
    query = f"&object_type=model_versions&object_id={key}"
    cost = page_costs(trail, trail.big, query)
    tell(capsys, trail, young_object=cost)
    assert cost <= 20


def test_the_history_of_one_actor_costs_few_pages(trail, capsys):
    key = row_of(trail.big, "actor_id")
    cost = page_costs(trail, trail.big, f"&actor={key}")
    tell(capsys, trail, actor_history=cost)
    assert cost <= MOST_BUFFERS


def test_what_no_index_finds_is_looked_for_in_bounded_steps(trail, capsys):
    cost = page_costs(trail, trail.big, "&action=registry.alias.*")
    tell(capsys, trail, rare_action=cost)
    assert cost <= 12_000


def test_the_admin_lists_by_organization_without_counting(trail, capsys):
    asked = {"organization": trail.big.slug}
    statements = reads_of(lambda: trail.root.listed("audit_auditlog", **asked))
    cost = buffers_of(trail.big, statements)
    tell(capsys, trail, admin_list=cost, statements=len(statements))
    assert cost <= MOST_BUFFERS * 10
    assert len(statements) <= 2


def test_a_history_in_the_admin_costs_few_pages(trail, capsys):
    asked = {
        "organization": str(trail.big.pk),
        "object_type": "model_versions",
        "object_id": str(row_of(trail.big, "object_id")),
    }
    page = "/admin/audit/auditlog/history/"
    cost = buffers_of(trail.big, reads_of(lambda: trail.root.get(page, asked)))
    tell(capsys, trail, admin_history=cost)
    assert cost <= MOST_BUFFERS


# Export


def memory_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = [text for text in status.splitlines() if text.startswith("VmRSS")]
    return int(found[0].split()[1]) * 1024 if found else 0  # it has just ended


def test_an_export_takes_the_same_memory_however_long_it_is(trail, capsys, tmp_path):
    url = urlsplit(SUPERUSER_URL)._replace(path=f"/{trail.database}").geturl()
    environment = {**os.environ, "DATABASE_URL": url, "VAR": str(tmp_path)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    words = ["--organization", trail.big.slug, "--output", "-"]
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "manage.py", "export_audit", *words],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=ROOT,
    ) as command:
        assert command.stdout
        rows, first, most = 0, 0, 0
        while piece := command.stdout.read(1 << 20):
            rows += piece.count(b"\n")
            now = memory_of(command.pid)
            first, most = first or now, max(most, now)
    took = time.monotonic() - began
    tell(
        capsys,
        trail,
        exported=rows,
        seconds=f"{took:.0f}",
        began_with=f"{first / 1e6:.0f} MB",
        grew_by=f"{(most - first) / 1e6:.1f} MB",
    )
    assert command.returncode == 0
    # It ends where it began; behind that stand its own two entries.
    assert rows == counted(trail.big) - 2
    assert most - first < MOST_GROWTH_BYTES

"""With half of the rows deleted, a page of the living costs what it cost before.

In a copy of the test database. Deletions come in batches: blocks of deleted rows lie
between those of the living, and on top of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, models
from psycopg import sql

from conftest import web_role
from monitoring.models import AlertRule
from monitoring.tests.factories import AlertRuleFactory
from registry.models import (
    Deployment,
    Experiment,
    LoggedModel,
    ModelVersion,
    Package,
    RegisteredModel,
    Run,
)
from registry.search.fields import EXPERIMENTS, MODELS
from registry.search.searches import Search
from registry.tests.factories import (
    DeploymentFactory,
    LoggedModelFactory,
    PackageFactory,
    RunFactory,
)
from registry.tests.relation.plans import plan_of
from tenants.context import Actor, tenant_transaction
from tenants.models import Membership, Project
from tenants.tests.factories import MembershipFactory, ProjectFactory
from tests.scale.test_package_plans import copied
from tests.settings import SUPERUSER_URL, TEST_DATABASE

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

# One row in a hundred is the project's, and three are its organization's.
ROWS, BLOCK, PAGE = 10_000, 1_000, 50
# Of the pages of 8 kB that a query touches.
MOST_MORE = 0.05
TABLES: tuple[type[models.Model], ...] = (
    Run,
    Experiment,
    LoggedModel,
    RegisteredModel,
    ModelVersion,
    Package,
    Deployment,
    AlertRule,
    Membership,
)
# Rows like the one that is there, one after the other; whole blocks of them deleted.
CLONE = """
INSERT INTO {table}
SELECT (jsonb_populate_record(NULL::{table}, to_jsonb(seed) || jsonb_build_object(
    'id', uuid7_at(moment), 'created_at', moment, 'updated_at', moment,
    'project_id', CASE WHEN n % 100 > 0 THEN md5((n % 100)::text)::uuid
        ELSE (to_jsonb(seed) ->> 'project_id')::uuid END,
    'organization_id', CASE WHEN n % 100 > 2 THEN md5((n % 100)::text)::uuid
        ELSE seed.organization_id END,
    'iid', 5000000 + n, 'name', 'name ' || n, 'version', {version},
    'user_id', gen_random_uuid(), 'start_time_ms', n, 'status', seed.{status},
    'deleted_at', CASE WHEN n / {block} % 2 = 1 THEN moment END,
    'purge_after', CASE WHEN n / {block} % 2 = 1 THEN moment END))).*
FROM (SELECT * FROM {table} ORDER BY id DESC LIMIT 1) AS seed,
     generate_series(1, {rows}) AS n,
     LATERAL (SELECT timestamptz '2026-01-01' + n * interval '1 s' AS moment) AS at
WHERE n / {block} % 2 = {remainder}
"""


@pytest.fixture(scope="module")
def place(django_db_setup, django_db_blocker) -> Iterator[Project]:
    with django_db_blocker.unblock(), copied(f"{TEST_DATABASE}_half"):
        project = ProjectFactory()
        version = DeploymentFactory(model_version__registered_model__project=project)
        AlertRuleFactory(project=project, deployment=version)
        run = RunFactory(experiment__project=project)
        LoggedModelFactory(experiment=run.experiment)
        PackageFactory(project=project)
        MembershipFactory(organization=project.organization)
        yield project


def fill(*, deleted: bool) -> None:
    """Put rows like its one row into every table: the living, or those deleted."""
    database = connection.settings_dict["NAME"]
    with psycopg.connect(SUPERUSER_URL, dbname=database, autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        for model in TABLES:
            clone(superuser, model, deleted)
            table = sql.Identifier(model._meta.db_table)
            superuser.execute(sql.SQL("VACUUM ANALYZE {}").format(table))


def clone(superuser: Any, model: type[models.Model], deleted: bool) -> None:
    table, has = model._meta.db_table, {f.column for f in model._meta.concrete_fields}
    superuser.execute(
        CLONE.format(
            table=table,
            block=BLOCK,
            rows=2 * ROWS - 1,
            remainder=int(deleted),
            status="status" if "status" in has else "id",
            version="n::text" if model is Package else "n + 1000000",
        )
    )


def searched(table: Any, rows: Any) -> Any:
    return Search.of(table).apply(rows)[:PAGE]


READERS: dict[str, Callable[[Project], Any]] = {
    "runs": lambda p: Run.objects.in_project(p.pk).order_by("-pk"),
    "experiments": lambda p: searched(EXPERIMENTS, Experiment.objects.in_project(p.pk)),
    "models": lambda p: searched(MODELS, RegisteredModel.objects.in_project(p.pk)),
    "logged models": lambda p: LoggedModel.objects.in_project(p.pk).order_by("-pk"),
    "versions": lambda p: ModelVersion.objects.in_project(p.pk).order_by("-pk"),
    "packages": lambda p: Package.objects.in_project(p.pk).live().order_by("-pk"),
    "packages of all": lambda p: Package.objects.live().order_by("-pk"),
    "packages by type": lambda p: (
        Package.objects.in_project(p.pk).filter(type="generic").order_by("-pk")
    ),
    "deployments": lambda p: Deployment.objects.in_project(p.pk).order_by("-pk"),
    "alert rules": lambda p: AlertRule.objects.in_project(p.pk).order_by("-pk"),
    "memberships": lambda p: Membership.objects.order_by("-pk"),
}


def buffers_of(place: Project) -> dict[str, int]:
    actor = Actor(kind="job", organization_id=place.organization_id)
    found = {}
    for name, reader in READERS.items():
        with web_role(), tenant_transaction(actor):
            rows = reader(place)[:PAGE]
            assert len(rows) == PAGE, name
            plan = plan_of(reader(place)[:PAGE])
        found[name] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return found


def test_half_of_the_rows_deleted_changes_no_page_of_the_living(place):
    fill(deleted=False)
    before = buffers_of(place)
    fill(deleted=True)
    after = buffers_of(place)
    print("\n" + "\n".join(f"{n}: {before[n]} -> {after[n]}" for n in READERS))
    worse = {
        name: (before[name], after[name])
        for name in READERS
        # One page more is the edge of a block, not a walk over it.
        if after[name] > max(before[name] * (1 + MOST_MORE), before[name] + 1)
    }
    assert not worse

"""Plans on a table that is large enough to tell: proof 9."""

from __future__ import annotations

import pytest
from django.db import connection

from conftest import web_role
from registry import relations
from registry.models import Package, Run
from registry.tests.factories import (
    ExperimentFactory,
)
from registry.tests.relation.hostile import (
    SIZES,
    without_triggers,
)
from registry.tests.relation.plans import (
    FILL_PACKAGES,
    FILL_RUNS,
    packages_for,
    plan_faults,
    plan_of,
)
from tenants.tests.factories import ProjectFactory

PROJECTS, NAMES = 10, 11_000


@pytest.fixture
def crowd(cast):
    """110,000 packages: ten projects own the same 11,000 names."""
    projects = [ProjectFactory(organization=cast.acme) for _ in range(PROJECTS - 2)]
    owners = [project.pk for project in [*projects, cast.fraud, cast.umbrella_fraud]]
    experiment = ExperimentFactory(project=cast.fraud)
    where = [cast.acme.pk, cast.fraud.pk, experiment.pk]
    with connection.cursor() as cursor, without_triggers():
        cursor.execute(FILL_RUNS, [*where, NAMES])
        cursor.execute(FILL_PACKAGES, [NAMES, owners])
        cursor.execute("ANALYZE packages, experiment_runs")
    return experiment


def test_the_plans_use_the_index_on_live_names(in_acme, crowd):
    for count in SIZES:
        runs = Run.objects.filter(experiment=crowd).order_by("id")[:count]
        queryset = packages_for(runs)
        plan = plan_of(queryset)
        assert plan["Actual Rows"] == count
        assert plan_faults(plan, count) == []
        with web_role():
            assert plan_faults(plan_of(queryset), count) == []
        twin = plan_of(runs.with_package_id())
        assert [fault for fault in plan_faults(twin, count) if "buf" not in fault] == []


def test_the_check_of_plans_sees_what_is_missing(in_acme, crowd):
    runs = list(Run.objects.filter(experiment=crowd)[:20])
    assert plan_faults(plan_of(packages_for(runs)), 20) == []
    names = [relations.name_of(run) for run in runs]
    no_project = Package.objects.live().filter(name__in=names, version="-")
    assert plan_faults(plan_of(no_project), 20) != []
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX packages_live_name")
    faults = plan_faults(plan_of(packages_for(runs)), 20)
    assert any("packages_live_name is not used" in fault for fault in faults)

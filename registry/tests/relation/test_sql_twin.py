"""The same rule as SQL agrees with the relation."""

from __future__ import annotations

import pytest

from registry import relations
from registry.models import Run
from registry.sql.packages import FOUND, find_run
from registry.tests.relation.hostile import (
    make_page,
)
from tenants.context import Actor
from tenants.unscoped import every_organization


@pytest.mark.parametrize("count", [1, 20, 200])
def test_the_sql_twin_agrees_with_the_relation(
    in_acme, cast, count, django_assert_num_queries
):
    page = make_page(count, [cast.fraud, cast.churn], [cast.umbrella_fraud])
    runs = Run.objects.filter(pk__in=page.right).with_package_id()
    with django_assert_num_queries(1):
        found = dict(runs.values_list("pk", "package_id"))
    assert found == page.right
    expression = Run.objects.annotate(of_sql=relations.package_name_of_run())
    assert all(run.of_sql == relations.name_of(run) for run in expression)


def test_the_statement_of_the_hot_path_agrees_with_the_relation(
    in_acme, cast, django_assert_num_queries
):
    page = make_page(40, [cast.fraud, cast.churn], [cast.umbrella_fraud])
    with django_assert_num_queries(40):
        found = [find_run(run.project, run.pk) for run in page.runs]
    assert {each.run.pk: each.package for each in found} == page.right
    for run, (same, experiment, *_) in zip(page.runs, found, strict=True):
        assert experiment == run.experiment.iid
        for name in FOUND:
            assert getattr(same, name) == getattr(run, name)
    for run in page.runs:
        elsewhere = cast.churn if run.project == cast.fraud else cast.fraud
        assert find_run(elsewhere, run.pk) is None
        assert find_run(cast.umbrella_fraud, run.pk) is None


def test_the_sql_twin_agrees_over_all_organizations(cast):
    page = make_page(60, [cast.fraud, cast.umbrella_fraud, cast.churn], [])
    operator = Actor(kind="command", label="test")
    with every_organization(operator, reason="test"):
        runs = Run.objects.filter(pk__in=page.right).with_package_id()
        assert dict(runs.values_list("pk", "package_id")) == page.right

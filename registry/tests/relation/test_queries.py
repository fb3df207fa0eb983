"""A constant number of statements, and never a foreign row: proofs 1, 2, 3 and 6."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db.models import (
    prefetch_related_objects,
)
from django.http import JsonResponse
from django.urls import include
from django.urls import path as route

from conftest import web_role
from registry.models import Run
from registry.relations import strict_relations
from registry.tests.factories import (
    RunFactory,
)
from registry.tests.relation.hostile import (
    SIZES,
    WHOLE,
    make_page,
    prefetched,
)
from tenants.context import Actor
from tenants.tests.factories import ProjectFactory
from tenants.unscoped import every_organization


@pytest.mark.parametrize("count", SIZES)
def test_packages_take_one_statement_whatever_the_page(
    in_acme, page_of, count, django_assert_num_queries
):
    page = page_of(count)
    with django_assert_num_queries(2):  # runs; packages
        runs = page.query("package")
        assert [run.package for run in runs]
    assert page.faults(runs) == []


@pytest.mark.parametrize("count", SIZES)
def test_packages_with_files_take_two_statements_whatever_the_page(
    in_acme, page_of, count, django_assert_num_queries
):
    page = page_of(count)
    with django_assert_num_queries(3):  # runs; packages; files
        runs = page.query(WHOLE)
        assert page.faults(runs) == []
        assert {len(run.package.files.all()) for run in runs if run.package} == {2}


@pytest.mark.parametrize("count", [20, 200])
def test_the_second_lock_alone_changes_nothing(
    in_acme, page_of, count, django_assert_num_queries
):
    page = page_of(count)
    with web_role(), django_assert_num_queries(3):
        assert page.faults(page.query(WHOLE)) == []


@pytest.mark.parametrize("count", [1, 20, 100, 200])
def test_a_page_over_many_projects_takes_no_more(
    in_acme, cast, count, django_assert_num_queries
):
    projects = [ProjectFactory(organization=cast.acme) for _ in range(50)]
    page = make_page(count, projects, [cast.umbrella_fraud, cast.churn])
    with django_assert_num_queries(3):
        assert page.faults(page.query(WHOLE)) == []


def test_a_page_over_all_organizations_mixes_nothing(cast, django_assert_num_queries):
    projects = [cast.fraud, cast.umbrella_fraud, cast.churn]
    page = make_page(90, projects, [])
    assert len({run.iid for run in page.runs}) == 30
    operator = Actor(kind="command", label="test")
    with every_organization(operator, reason="test"), django_assert_num_queries(3):
        assert page.faults(page.query(WHOLE)) == []


def test_a_page_without_packages_costs_no_third_statement(
    in_acme, make_runs, django_assert_num_queries
):
    make_runs(20)
    with django_assert_num_queries(2):  # runs; packages
        runs = list(Run.objects.prefetch_related(WHOLE))
        assert [run.package for run in runs] == [None] * 20


def list_runs(request):
    """A list view as REST will have them."""
    with strict_relations():
        runs = Run.objects.in_project(request.actor.project_id)
        rows = {
            run.pk.hex: [file.path for file in run.package.files.all()]
            for run in runs.prefetch_related(WHOLE)
            if run.package
        }
    return JsonResponse(rows)


list_runs.needs = "tracking:read"  # type: ignore[attr-defined]
urlpatterns = [
    route("runs", list_runs),
    # allauth's middleware, which looks for its pages, stands before all.
    route("accounts/", include("tenants.accounts.urls")),
]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("count", SIZES)
def test_a_list_over_http_takes_four_statements_whatever_the_page(
    page_of, alice_in_fraud, count
):
    page = page_of(count)
    answer = alice_in_fraud.get("/runs")
    # Admission; runs; packages; files; and the savepoint, as the test is a transaction.
    assert answer["X-Query-Count"] == str(4 + 2)
    shown = {UUID(run): paths for run, paths in answer.json().items()}
    wanted = {run: pk for run, pk in page.right.items() if pk}
    assert shown.keys() == wanted.keys()
    for run, paths in shown.items():
        assert len(paths) == 2
        assert all(path.startswith(wanted[run].hex) for path in paths)


def test_a_run_without_package_costs_one_statement_once(
    in_acme, cast, django_assert_num_queries
):
    run = RunFactory(experiment__project=cast.fraud)
    with django_assert_num_queries(1):
        assert run.package is None
        assert run.package is None
    with django_assert_num_queries(2):
        run = prefetched(run)
        assert run.package is None


def test_a_prefetched_package_is_not_asked_for_again(
    in_acme, page_of, django_assert_num_queries
):
    runs = page_of(20).query(WHOLE)
    with django_assert_num_queries(0):
        prefetch_related_objects(runs, WHOLE)
        assert [run.package and list(run.package.files.all()) for run in runs]

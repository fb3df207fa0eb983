"""A list that reads packages one by one is a fault: proof 10."""

from __future__ import annotations

import pytest
from django.http import JsonResponse
from django.urls import include
from django.urls import path as route

from registry.admin.runs import RunAdmin
from registry.api import viewsets
from registry.models import Run
from registry.relations import NotPrefetched, strict_relations
from registry.tests.factories import (
    RunFactory,
)
from registry.tests.relation.hostile import (
    WHOLE,
)
from tenants.tests.superuser import superuser


def test_a_lazy_read_raises_where_rows_are_listed(in_acme, page_of):
    page = page_of(5)
    with strict_relations():
        with pytest.raises(NotPrefetched, match="prefetch_related"):
            page.faults(page.query())
        assert page.faults(page.query(WHOLE)) == []
    assert page.faults(page.query()) == []


def lazy_list(request):
    with strict_relations():
        runs = Run.objects.in_project(request.actor.project_id)
        return JsonResponse({run.pk.hex: bool(run.package) for run in runs})


lazy_list.needs = "tracking:read"  # type: ignore[attr-defined]
urlpatterns = [
    route("lazy", lazy_list),
    # allauth's middleware, which looks for its pages, stands before all.
    route("accounts/", include("tenants.accounts.urls")),
]


@pytest.mark.urls(__name__)
def test_a_list_view_that_forgets_to_prefetch_fails(page_of, alice_in_fraud):
    page_of(2)
    with pytest.raises(NotPrefetched):
        alice_in_fraud.get("/lazy")


def test_strictness_ends_with_its_block(in_acme, cast):
    run = RunFactory(experiment__project=cast.fraud)
    with pytest.raises(ValueError, match="over"), strict_relations():
        raise ValueError("over")
    assert run.package is None


# The lists of the product are strict by themselves


def test_the_list_of_rest_fails_when_it_forgets_to_prefetch(
    page_of, alice, monkeypatch
):
    page_of(2)
    monkeypatch.setitem(viewsets.RunViewSet.expansions, "package", "tags")
    with pytest.raises(NotPrefetched):
        alice.get("/api/v1/organizations/acme/projects/fraud/runs/")


def test_the_list_of_the_admin_fails_when_it_forgets_to_prefetch(page_of, monkeypatch):
    page_of(2)
    monkeypatch.setattr(RunAdmin, "relations_of", lambda self, rows: [])
    with pytest.raises(NotPrefetched):
        superuser().listed("registry_run")


def one_by_one(request):
    runs = Run.objects.in_project(request.actor.project_id)
    return JsonResponse({run.pk.hex: bool(run.package) for run in runs})


one_by_one.needs = "tracking:read"  # type: ignore[attr-defined]
urlpatterns.append(route("one-by-one", one_by_one))


@pytest.mark.urls(__name__)
def test_in_tests_every_request_fails_that_reads_a_second_package_alone(
    page_of, alice_in_fraud
):
    """A view that nobody has made strict: the tests' client does it."""
    page_of(2)
    with pytest.raises(NotPrefetched):
        alice_in_fraud.get("/one-by-one")


def test_one_package_may_be_read_alone_where_it_is_allowed(in_acme, page_of):
    page = page_of(2)
    one, two = page.query()
    with strict_relations(spare=1):
        assert one.package.pk == page.right[one.pk]
        with pytest.raises(NotPrefetched):
            assert two.package

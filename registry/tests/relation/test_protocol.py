"""The prefetch protocol, as Django 5.2 speaks it; repeat with each new Django."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db.models import (
    Prefetch,
)

from registry.models import Experiment, Package, PackageFile, Run
from registry.tests.factories import (
    RunFactory,
    candidate_package,
)
from registry.tests.relation.hostile import (
    WHOLE,
    Page,
)


def test_a_query_set_of_the_caller_s_choice_still_shows_live_rows_only(in_acme, cast):
    run = RunFactory(experiment__project=cast.fraud)
    dead = candidate_package(run)
    Package.objects.filter(pk=dead.pk).update(deleted_at=datetime.now(UTC))
    everything = Prefetch("package", queryset=Package.objects.all())
    assert Run.objects.prefetch_related(everything).get(pk=run.pk).package is None


def test_a_query_set_of_the_caller_s_choice_may_carry_totals(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(20)
    totals = Prefetch("package", queryset=Package.objects.with_totals())
    with django_assert_num_queries(2):
        runs = page.query(totals)
        found = {run.package.file_count for run in runs if run.package}
    assert found == {2}
    assert page.faults(runs) == []


def test_another_attribute_may_take_the_package(in_acme, page_of):
    page = page_of(5)
    runs = page.query(Prefetch("package", to_attr="bundle"))
    found = {run.pk: run.bundle and run.bundle.pk for run in runs}
    assert found == page.right


def test_packages_are_reached_through_other_relations(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(20)
    experiment = page.runs[0].experiment
    with django_assert_num_queries(4):  # experiment; runs; packages; files
        found = Experiment.objects.prefetch_related(f"runs__{WHOLE}").get(
            pk=experiment.pk
        )
        runs = sorted(found.runs.all(), key=lambda run: run.pk)
        assert page.faults(runs) == []


def test_the_files_of_a_page_may_be_the_first_of_each(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(20)
    first = PackageFile.objects.order_by("path")[:1]
    with django_assert_num_queries(3):
        runs = page.query(Prefetch(WHOLE, queryset=first, to_attr="first_files"))
        counts = {len(run.package.first_files) for run in runs if run.package}
    assert counts == {1}


def test_an_export_takes_two_statements_for_each_chunk(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(200)
    runs = Run.objects.order_by("id").prefetch_related(WHOLE)
    with django_assert_num_queries(1 + 2 * 4):
        exported = list(runs.iterator(chunk_size=50))
        assert page.faults(exported) == []


def test_a_slice_prefetches_its_own_rows_only(
    in_acme, page_of, django_assert_num_queries
):
    page = page_of(40)
    with django_assert_num_queries(3):
        runs = list(Run.objects.order_by("id").prefetch_related(WHOLE)[10:30])
        part = Page(page.runs[10:30], page.right)
        assert part.faults(runs) == []

"""Each predicate is needed: without it a wrong row is shown: proof 11."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from django.core.exceptions import MultipleObjectsReturned
from django.db.models import (
    Q,
)

from registry import relations
from registry.models import Package
from registry.querysets import PackageQuerySet
from registry.tests.factories import (
    PackageFactory,
    RunFactory,
)
from registry.tests.relation import test_rows
from registry.tests.relation.hostile import (
    WHOLE,
    make_page,
)


def without_project(runs):
    return Q(name__in=[relations.name_of(run) for run in runs])


def in_two_lists(runs):
    return Q(
        project__in={run.project_id for run in runs},
        name__in=[relations.name_of(run) for run in runs],
    )


def live_without_status(self):
    return self.filter(deleted_at__isnull=True)


def live_without_deletion(self):
    return self.filter(status__in=self.READABLE)


def of_any_version(runs, packages=None):
    packages = relations.all_packages() if packages is None else packages
    return packages.live().filter(relations.matching(runs))


def by_name_alone(self, instances, querysets=None):
    def name_of(row):
        return row.name if isinstance(row, Package) else relations.name_of(row)

    packages = relations.packages_of(instances)
    return packages, name_of, name_of, True, self.name, False


RELATION = relations.CandidatePackage
MUTATIONS = [
    (relations, "matching", without_project),
    (PackageQuerySet, "live", live_without_status),
    (PackageQuerySet, "live", live_without_deletion),
    (relations, "packages_of", of_any_version),
    (RELATION, "get_prefetch_querysets", by_name_alone),
]


@pytest.mark.parametrize(
    "home,name,mutant", MUTATIONS, ids=[mutant.__name__ for *_, mutant in MUTATIONS]
)
def test_a_missing_predicate_would_be_noticed(
    in_acme, cast, monkeypatch, home, name, mutant
):
    page = make_page(40, [cast.fraud, cast.churn], [cast.umbrella_fraud])
    assert page.faults(page.query(WHOLE)) + page.faults(page.query()) == []
    monkeypatch.setattr(home, name, mutant)
    # Together, and one by one: either way may hide what the other shows.
    assert page.faults(page.query(WHOLE)) + page.faults(page.query()) != []


def test_two_independent_lists_would_read_more_than_the_page(in_acme, cast):
    """They give the right rows, for more than they should cost: see the traps."""
    here = RunFactory(experiment__project=cast.fraud, iid=1)
    there = RunFactory(experiment__project=cast.churn, iid=2)
    for project, name in itertools.product(
        (cast.fraud, cast.churn), ("ml_candidate_1", "ml_candidate_2")
    ):
        PackageFactory(project=project, name=name, version="-")
    paired = relations.packages_of([here, there])
    mixed = Package.objects.live().filter(in_two_lists([here, there]))
    assert (paired.count(), mixed.count()) == (2, 4)


# The same, by the name of the test that fails: each of them stands elsewhere for itself

ENDING = {"ending": {"deleted_at": datetime.now(UTC)}}
NAMED = [
    ("test_another_tenant_s_package_of_the_name_is_not_the_package", {}),
    ("test_an_unreadable_package_is_not_shown", {"status": "error"}),
    ("test_a_package_made_anew_under_a_dead_one_s_name_is_the_one", ENDING),
    ("test_another_version_of_the_name_is_not_the_package", {"version": "2"}),
    ("test_the_same_number_in_two_projects_means_two_packages", {}),
]


@pytest.mark.parametrize(
    "mutation,named,given",
    [(mutation, *named) for mutation, named in zip(MUTATIONS, NAMED, strict=True)],
    ids=[mutation[2].__name__ for mutation in MUTATIONS],
)
def test_the_named_test_fails_without_its_predicate(
    in_acme, cast, monkeypatch, mutation, named, given
):
    monkeypatch.setattr(*mutation)
    with pytest.raises((AssertionError, MultipleObjectsReturned)):
        getattr(test_rows, named)(in_acme, cast, **given)

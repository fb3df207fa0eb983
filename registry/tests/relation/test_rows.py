"""Which row is a run's package, and which only looks like it: proofs 4, 5 and 7."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError

from registry.models import Package, Run
from registry.sql.packages import find_run
from registry.tests.factories import (
    ExperimentFactory,
    PackageFactory,
    RunFactory,
    candidate_package,
)
from registry.tests.relation.hostile import (
    READABLE,
    UNREADABLE,
    fresh,
    prefetched,
)


@pytest.mark.parametrize("status", READABLE)
def test_a_readable_package_is_shown(in_acme, cast, status):
    run = RunFactory(experiment__project=cast.fraud)
    package = candidate_package(run)
    Package.objects.filter(pk=package.pk).update(status=status)
    assert fresh(run).package == package
    assert prefetched(run).package == package
    assert find_run(cast.fraud, run.pk).package == package.pk


@pytest.mark.parametrize("status", UNREADABLE)
def test_an_unreadable_package_is_not_shown(in_acme, cast, status):
    run = RunFactory(experiment__project=cast.fraud)
    package = candidate_package(run)
    Package.objects.filter(pk=package.pk).update(status=status)
    assert fresh(run).package is None
    assert prefetched(run).package is None
    assert find_run(cast.fraud, run.pk).package is None


@pytest.mark.parametrize(
    "ending", [{"status": "pending_destruction"}, {"deleted_at": datetime.now(UTC)}]
)
def test_a_package_made_anew_under_a_dead_one_s_name_is_the_one(in_acme, cast, ending):
    run = RunFactory(experiment__project=cast.fraud)
    Package.objects.filter(pk=candidate_package(run, files=1).pk).update(**ending)
    assert fresh(run).package is None
    again = candidate_package(run, files=1)
    assert fresh(run).package == again
    assert prefetched(run).package == again


@pytest.mark.parametrize("version", ["2", "candidate_7", "1.0", "", "--"])
def test_another_version_of_the_name_is_not_the_package(in_acme, cast, version):
    run = RunFactory(experiment__project=cast.fraud)
    PackageFactory(project=cast.fraud, name=run.package_name, version=version)
    assert fresh(run).package is None
    assert prefetched(run).package is None
    assert find_run(cast.fraud, run.pk).package is None
    assert Run.objects.with_package_id().get(pk=run.pk).package_id is None


def test_another_tenant_s_package_of_the_name_is_not_the_package(in_acme, cast):
    """Whether ours is missing, was there before, or came afterwards."""
    run = RunFactory(experiment__project=cast.fraud)
    for project in (cast.umbrella_fraud, cast.churn):
        PackageFactory(project=project, name=run.package_name, version="-")
    assert (fresh(run).package, prefetched(run).package) == (None, None)
    ours = candidate_package(run)
    assert fresh(run).package == prefetched(run).package == ours


# The database refuses a second one (the race: test_packages.py)


def test_a_second_live_package_of_a_name_is_refused(in_acme, cast):
    run = RunFactory(experiment__project=cast.fraud)
    candidate_package(run)
    with pytest.raises(IntegrityError, match="packages_live_name"):
        candidate_package(run)


# Look-alikes

LOOK_ALIKES = [
    "ml_candidate_1x",
    "ml_candidate_01",
    "ml_candidate_",
    "ml_candidate_ 1",
    "ml_candidate_1 ",
    "ml_candidate_1\n",
    "ml_candidate_-1",
    "ml_candidate_+1",
    "ml_candidate_1.0",
    "ml_candidate_1e0",
    "ml_candidate_１",
    "ml_candidate_١",
    "ML_Candidate_1",
    "ML_CANDIDATE_1",
    "Ml_candidate_1",
]


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_look_alike_of_a_candidate_s_name_is_refused(cast, name):
    with pytest.raises(IntegrityError, match="packages_candidate_name"):
        PackageFactory(project=cast.fraud, name=name, version="-")


@pytest.mark.parametrize(
    "name", [" ml_candidate_1", "ml-candidate-1", "ml_candidates_1", "mｌ_candidate_1"]
)
def test_another_name_is_another_name(in_acme, cast, name):
    run = RunFactory(experiment__project=cast.fraud, iid=1)
    PackageFactory(project=cast.fraud, name=name, version="-")
    assert fresh(run).package is None
    assert prefetched(run).package is None


def test_numbers_that_begin_alike_are_kept_apart(in_acme, cast):
    experiment = ExperimentFactory(project=cast.fraud)
    runs = [RunFactory(experiment=experiment, iid=iid) for iid in (1, 12, 121, 2)]
    packages = [candidate_package(run, files=1) for run in runs]
    found = Run.objects.order_by("id").prefetch_related("package")
    assert [run.package for run in found] == packages


def test_the_same_number_in_two_projects_means_two_packages(in_acme, cast):
    here = RunFactory(experiment__project=cast.fraud, iid=7)
    there = RunFactory(experiment__project=cast.churn, iid=7)
    packages = {run.pk: candidate_package(run) for run in (there, here)}
    for run in Run.objects.prefetch_related("package"):
        assert run.package == packages[run.pk]


def test_the_greatest_number_finds_its_package(in_acme, cast):
    run = RunFactory(experiment__project=cast.fraud, iid=2**63 - 1)
    package = candidate_package(run)
    assert prefetched(run).package == package
    assert fresh(run).package == package

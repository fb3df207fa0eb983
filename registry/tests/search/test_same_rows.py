"""The search against its evaluator in plain Python: the same rows in the same order."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conftest import web_role
from registry.models import Run
from registry.search.fields import RUNS
from registry.search.searches import Search
from registry.tests.factories import ExperimentFactory
from registry.tests.search.evaluator import meets, sorted_runs
from registry.tests.search.generated import Known, Maker
from registry.tests.search.population import populate
from tenants.context import Actor, tenant_transaction

EVERYDAY = 120
SOAK = 10_000


@contextmanager
def searching(experiment):
    """Be the web role, bound to the experiment's organization."""
    actor = Actor(
        kind="command", label="test", organization_id=experiment.organization_id
    )
    with tenant_transaction(actor), web_role():
        yield


def compare_searches(experiment, count):
    runs = populate(experiment)
    known = Known(
        run_ids=tuple(run.key.hex for run in runs[:20]),
        addresses=tuple(run.uri for run in runs[:20]),
    )
    rows = Run.objects.filter(experiment_id=experiment.pk)
    found = {"some": 0, "none": 0}

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count == EVERYDAY,
        # A smaller seed is no simpler search.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64))
    def agrees(seed):
        maker = Maker(seed, known)
        meant, order = maker.clauses(), maker.order()
        text, clauses = maker.written_filter(meant), maker.written_order(order)
        expected = [
            run.key
            for run in sorted_runs(runs, order)
            if all(meets(run, clause) for clause in meant)
        ]
        search = Search.of(RUNS, text, clauses)
        found_rows = search.apply(rows, within=[experiment.pk])
        listed = list(found_rows.values_list("pk", *search.columns))
        assert [key for key, *_ in listed] == expected, (text, clauses)
        found["some" if expected else "none"] += 1
        if len(listed) > 1 and maker.chance.random() < 0.5:
            turn_page(search, rows, experiment, listed, maker.chance)

    with searching(experiment):
        agrees()
    # Filters that find nothing would agree with anything.
    assert found["some"] > count * 0.3, found


def turn_page(search, rows, experiment, listed, chance):
    """Read the page behind a place, as the token of the page before would say it."""
    at = chance.randrange(1, len(listed))
    size = chance.randint(1, 20)
    place = search.place_of(listed[at - 1][1:])
    page = search.page(rows, limit=size, after=place, within=[experiment.pk])
    expected = [key for key, *_ in listed[at : at + size]]
    assert [run.pk for run in page.rows] == expected, place
    assert bool(page.end) is (at + size < len(listed))


def test_generated_searches_find_what_plain_python_finds(cast):
    compare_searches(ExperimentFactory(project=cast.fraud), EVERYDAY)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_generated_searches_find_what_plain_python_finds(cast):
    compare_searches(ExperimentFactory(project=cast.fraud), SOAK)

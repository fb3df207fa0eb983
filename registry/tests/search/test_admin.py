"""The search box of the admin: words as before, filters, and mistakes."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages

from registry.models import ExperimentTag, Param
from registry.tests.factories import ExperimentFactory, RunFactory
from tenants.tests.superuser import rows_of, shown, superuser


@pytest.fixture
def root(db):
    return superuser()


@pytest.fixture
def runs(cast):
    """Two runs of two organizations with one param, and one with another value."""
    made = {}
    for name, project, depth in (
        ("ash", cast.fraud, "3"),
        ("ivy", cast.umbrella_fraud, "3"),
        ("lr=0.1", cast.fraud, "4"),
    ):
        run = RunFactory(experiment__project=project, name=name)
        own = {"organization_id": run.organization_id, "run": run}
        Param(key="depth", value=depth, experiment_id=run.experiment_id, **own).save(
            force_insert=True
        )
        made[name] = run
    return made


def found(root, words, model="registry_run", **filters):
    response = root.listed(model, q=words, **filters)
    notices = [str(each) for each in get_messages(response.wsgi_request)]
    return {str(row) for row in rows_of(response)}, notices


def test_a_filter_finds_runs_of_all_organizations(root, runs):
    assert found(root, "params.depth = '3'") == ({"ash", "ivy"}, [])
    assert found(root, "params.depth LIKE '4%' AND status = 'RUNNING'")[0] == {"lr=0.1"}
    assert found(root, "tags.x IS NULL")[0] == set(runs)
    assert found(root, "metrics.loss > 0") == (set(), [])


def test_a_filter_joins_the_filters_of_the_list(root, runs):
    chosen = {"experiment__id__exact": str(runs["ivy"].experiment_id)}
    assert found(root, "params.depth = '3'", **chosen)[0] == {"ivy"}


def test_words_search_names_as_before(root, runs):
    assert found(root, "as") == ({"ash"}, [])
    assert found(root, runs["ivy"].pk.hex) == ({"ivy"}, [])
    assert found(root, "is in like") == (set(), [])


def test_a_wrong_filter_is_told_and_its_words_are_searched_for(root, runs):
    rows, (notice,) = found(root, "lr=0.1")
    assert rows == {"lr=0.1"}
    assert "as a filter, Invalid attribute key 'lr' specified." in notice
    assert "(at position 1)" in notice
    rows, (notice,) = found(root, "params.depth = ")
    assert (rows, "(at position 16)" in notice) == (set(), True)


def test_what_is_wrong_is_shown_as_text(root, runs):
    response = root.listed("registry_run", q="<script>alert(1)</script> = 'x'")
    assert response.status_code == 200
    assert "<script>alert(1)" not in shown(response)
    assert "&lt;script&gt;" in shown(response)


@pytest.mark.parametrize(
    "words",
    ["'" * 900, "params.x = '", "a" * 5000, "tags.a LIKE '\\'", "= " * 500, "( <"],
)
def test_no_words_break_the_list(root, runs, words):
    assert found(root, words)[0] == set()


def test_a_filter_finds_experiments(root, cast):
    for name in ("ash", "elm"):
        row = ExperimentFactory(project=cast.fraud, name=name)
        ExperimentTag(
            organization=cast.acme, experiment=row, key="team", value=name
        ).save()
    assert found(root, "tags.team = 'elm'", "registry_experiment")[0] == {"elm"}
    rows, notices = found(root, "tags.team = elm", "registry_experiment")
    assert rows == set()
    assert "either not quoted" in notices[0]


def test_a_filter_costs_as_many_statements_for_any_page(root, cast):
    counts = set()
    for size in (1, 20):
        for run in RunFactory.create_batch(size, experiment__project=cast.fraud):
            own = {"organization_id": run.organization_id, "run": run}
            Param(key="k", value="v", experiment_id=run.experiment_id, **own).save(
                force_insert=True
            )
        counts.add(root.statements("registry_run", q="params.k = 'v'"))
    assert len(counts) == 1

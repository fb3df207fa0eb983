"""What is kept of a search serves everybody who asks the same, each with their own."""

from __future__ import annotations

from random import Random
from uuid import uuid4

import pytest

from registry.mlflow import run_pages
from registry.mlflow.run_pages import Asked, composed
from registry.sql.run_searches import Searched
from registry.tests.search.generated import Known, Maker
from tenants.context import Actor, binding

KNOWN = Known(run_ids=(uuid4().hex, uuid4().hex), addresses=("mlflow-artifacts:/0/a",))


@pytest.mark.parametrize("seed", range(60))
def test_a_kept_statement_is_the_one_that_would_be_composed(seed):
    maker, chance = Maker(seed, KNOWN), Random(seed)
    text = maker.written_filter(maker.clauses())
    asked = Asked.of(text, maker.written_order(maker.order()))
    view = chance.choice(["active", "deleted", "all"])
    count = chance.randint(1, 3)
    for _ in range(2):
        searched = Searched(uuid4(), uuid4(), [uuid4() for _ in range(count)])
        actor = Actor(kind="service", organization_id=searched.organization_id)
        with binding(searched.organization_id, actor):
            statement, parameters = asked.statement(searched, view, 100)
            own = composed(asked.search, searched, view, 100)
        # As texts: NaN is no NaN.
        assert (statement, repr(parameters)) == (own[0], repr(own[1]))
        assert repr(searched.organization_id) in repr(parameters)


def test_organizations_that_ask_the_same_find_each_their_own(fraud, stranger_in_fraud):
    own = {}
    for turn, tracking in enumerate((fraud, stranger_in_fraud)):
        run = own[tracking] = tracking.run()
        tracking.ok(
            "runs/log-metric", run_id=run, key="loss", value=turn, timestamp=1, step=0
        )
    for tracking in (fraud, stranger_in_fraud) * 2:
        for body in ({"filter": "metrics.loss < 9"}, {"order_by": ["metrics.loss"]}):
            found = tracking.ok("runs/search", experiment_ids=["0"], **body)["runs"]
            assert [run["info"]["run_id"] for run in found] == [own[tracking]]


def test_a_search_that_is_asked_again_is_composed_once(fraud):
    fraud.run()
    before = run_pages._first_page.cache_info()
    for _ in range(3):
        fraud.ok("runs/search", experiment_ids=["0"], filter="params.kept = 'once'")
    after = run_pages._first_page.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)


def test_a_long_search_is_not_kept(fraud):
    fraud.run()
    before = run_pages._first_page.cache_info()
    long = f"params.kept = '{'x' * run_pages.MAX_KEPT_TEXT}'"
    fraud.ok("runs/search", experiment_ids=["0"], filter=long)
    assert run_pages._first_page.cache_info() == before

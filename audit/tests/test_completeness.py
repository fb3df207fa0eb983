"""Nothing changes without an entry, whatever changes it, in whatever order.

A state machine over all ways of writing: services, REST, MLflow's protocol, the admin,
bulk updates, SQL of every role, COPY and commands. After each step the entries, folded
object by object, are the rows, and say who it was.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest
from django.db import DataError, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from audit.tests.complete import (  # noqa: F401
    by_hand,
    by_monitoring,
    by_registry,
    by_skins,
    by_tenants,
)
from audit.tests.complete.ledger import Ledger
from audit.tests.complete.world import STEPS, Nothing, Refused, World
from audit.tests.complete.writers import entered, writers
from audit.tests.trail import entries, run
from conftest import Cast
from mlops.errors import DomainError
from registry.models import RegisteredModel
from registry.tests.factories import RegisteredModelFactory
from tenants import refusals
from tenants.models import Organization

# Functions of services that look like writers and that no step enters, and why.
LISTED = {
    "registry.services.purging.deleted_shares": "reads how much is deleted",
    "registry.services.storage_usage.refuse_returned": "asks whether there is room",
    "registry.services.verification.read": "reads bytes; `update` is a digest's",
    "tenants.services.erasure.erase": "erase_within() in transactions of its own",
    "tenants.services.single_sign_on.refuse_password": "asks and records nothing",
}


@pytest.fixture(autouse=True)
def no_log_of_refusals() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_refusals_yet() -> Iterator[None]:
    """Identical refusals within a minute are counted in one: forget those before."""
    refusals._seen.clear()
    yield
    refusals._seen.clear()


class Anything(RuleBasedStateMachine):
    """All that may happen to one organization, in any order."""

    cast: Cast

    def __init__(self) -> None:
        super().__init__()
        # All of an example is taken back at its end.
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        refusals._seen.clear()
        self.world = World(self.cast, choose=lambda options: options[0])
        self.ledger = Ledger()
        assert self.ledger.complaints() == []

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @rule(name=st.sampled_from(sorted(STEPS)), data=st.data())
    def happens(self, name: str, data: st.DataObject) -> None:
        places = st.integers(0, 7)
        self.world.choose = lambda options: options[data.draw(places) % len(options)]
        try:
            with transaction.atomic():
                STEPS[name](self.world)
        except (DomainError, Refused, DataError, Nothing):
            pass  # a text may be longer than its column
        complain(name, self.world, self.ledger)


def complain(name: str, world: World, ledger: Ledger) -> None:
    """Fail with whatever does not fit."""
    found = [*world.complaints, *ledger.complaints(), *unrecorded(world)]
    assert not found, f"{name}: " + "\n".join(found)


def unrecorded(world: World) -> Iterator[str]:
    """Entries and what they count are as many as there were refusals."""
    told = [entry.after or {} for entry in entries(action="request.refused")]
    told_of = len(told) + sum(after["repeated"] for after in told)
    waiting = sum(refusal.repeated for refusal in refusals._seen.values())
    if told_of + waiting != world.refused:
        yield f"{told_of} + {waiting} refusals are told, {world.refused} there were"


def run_machine(
    cast: Cast, *, examples: int, steps: int, shrinking: bool = True
) -> None:
    Anything.cast = cast
    run_state_machine_as_test(
        Anything,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=examples < 20,
            suppress_health_check=list(HealthCheck),
            phases=list(Phase) if shrinking else [Phase.generate],
        ),
    )


def test_each_way_of_writing_leaves_what_it_changes(cast, store):
    """Each step once, none refused; together they enter all services that write."""
    world = World(cast, choose=lambda options: options[0])
    ledger = Ledger()
    with entered() as called:
        for number, name in enumerate(STEPS):
            STEPS[name](world)
            if number % 10 == 0:
                complain(name, world, ledger)
    complain("the last ones", world, ledger)
    assert sorted(writers() - called) == sorted(LISTED)


def test_any_order_leaves_what_it_changes(cast, store):
    run_machine(cast, examples=3, steps=8)


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_any_order_leaves_what_it_changes_in_10_000_steps(cast, store):
    run_machine(cast, examples=200, steps=50, shrinking=False)


PASSING_OVER = (
    "DROP TRIGGER audit_capture ON organizations; CREATE TRIGGER audit_capture"
    " AFTER UPDATE ON organizations FOR EACH ROW EXECUTE FUNCTION"
    " audit_capture('tenants.organization', '{}', '{}', '{name}')"
)
HOLES = [
    (
        "a table whose trigger is disabled",
        "ALTER TABLE organizations DISABLE TRIGGER audit_capture",
        "organizations .*: name is not what its entries tell",
    ),
    (
        "a session that fires no trigger",
        "SET LOCAL session_replication_role = replica",
        "organizations .*: name is not what its entries tell",
    ),
    (
        "a trigger that passes over the column",
        PASSING_OVER,
        "organizations .*: name is not what its entries tell",
    ),
]


@pytest.mark.parametrize("_case,damage,finding", HOLES)
def test_a_hole_is_found(_case, damage, finding, cast):
    ledger = Ledger()
    assert ledger.complaints() == []
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run(damage)
    Organization._base_manager.filter(pk=cast.acme.pk).update(name="unseen")
    run("SET LOCAL session_replication_role = origin")
    (found,) = ledger.complaints()
    assert re.fullmatch(finding, found)


def test_a_hole_in_the_batches_is_found(cast):
    world = World(cast, choose=lambda options: options[0])
    ledger = Ledger()
    assert ledger.complaints() == []
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("ALTER TABLE run_tags DISABLE TRIGGER audit_batch_insert")
    STEPS["batches_change_in_bulk"](world)
    (found,) = ledger.complaints()
    assert found == f"registry.run_tag of {cast.acme.pk}: 3 rows, 0 told"


def test_a_lost_entry_is_found(cast):
    ledger = Ledger()
    model = RegisteredModelFactory(project=cast.fraud)
    run("SET LOCAL session_replication_role = replica")
    run("DELETE FROM audit_logs WHERE object_id = %s", model.pk)
    run("SET LOCAL session_replication_role = origin")
    assert ledger.complaints() == [
        f"registered_models {model.pk}: no entry tells of the row"
    ]


def test_a_change_that_somebody_else_is_said_to_have_made_is_found(cast):
    world = World(cast, choose=lambda options: options[0])
    with world.serving():
        run("SELECT set_config('app.actor', 'user:nobody', true)")
        run("SELECT set_config('app.request', '', true)")
        run("SELECT set_config('app.reason', 'none', true)")
        RegisteredModel.objects.update(description="changed")
    actor, request_id, reason = world.complaints
    assert "actor is 'user:nobody'" in actor
    assert "request_id is ''" in request_id
    assert "reason is 'none'" in reason


def test_a_refusal_without_an_entry_is_found(cast):
    world = World(cast, choose=lambda options: options[0])
    assert list(unrecorded(world)) == []
    STEPS["request_of_a_stranger_is_refused"](world)
    STEPS["request_of_a_stranger_is_refused"](world)
    assert list(unrecorded(world)) == []
    refusals._seen.clear()
    assert list(unrecorded(world)) == ["1 + 0 refusals are told, 2 there were"]


def test_an_audited_change_takes_no_statement_more(cast, django_assert_num_queries):
    models = [RegisteredModelFactory(project=cast.fraud) for _ in range(20)]
    before = len(entries())
    with django_assert_num_queries(1):
        models[0].description = "changed"
        models[0].save(using="default", update_fields=["description"])
    with django_assert_num_queries(1):
        RegisteredModel._base_manager.update(description="all changed")
    assert len(entries()) == before + 1 + len(models)

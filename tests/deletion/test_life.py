"""Random lives of experiments, runs, models, versions and packages.

Whatever is created, deleted, restored and purged in whatever order: a restore gives
what was before its deletion, and no refusal of the database ever comes through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.errors import AlreadyExists, Conflict, InvalidInput, InvalidState
from registry.models import Experiment, ModelVersion, Package, RegisteredModel, Run
from registry.services import experiments, models, packages, purging, runs, versions
from registry.services.purging import Asked, Tally
from registry.services.scopes import Scope
from registry.tests.factories import PackageFactory
from tenants.context import acting_as

KINDS = ("experiment", "run", "model", "version", "package")
CLASSES: dict[str, Any] = {
    "experiment": Experiment,
    "run": Run,
    "model": RegisteredModel,
    "version": ModelVersion,
    "package": Package,
}
NAMES = ("churn", "fraud", "trees")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "create", "create", "delete", "restore", "purge"]),
        st.sampled_from(KINDS),
        st.integers(0, 20),
        st.sampled_from(NAMES),
    ),
    min_size=1,
    max_size=30,
)
REFUSALS = (AlreadyExists, Conflict, InvalidInput, InvalidState)


@dataclass(eq=False)
class Thing:
    """What must be true of one row; `batch` names the deletion that took it."""

    kind: str
    key: Any
    name: str = ""
    parent: Thing | None = None
    made_of: Thing | None = None
    batch: object = None

    @property
    def is_live(self) -> bool:
        return self.batch is None

    def row(self) -> Any:
        return CLASSES[self.kind]._base_manager.get(pk=self.key)


@dataclass
class World:
    project: Any
    things: list[Thing] = field(default_factory=list)

    def of(self, kind: str) -> list[Thing]:
        return [thing for thing in self.things if thing.kind == kind]

    def below(self, parent: Thing) -> list[Thing]:
        return [thing for thing in self.things if thing.parent is parent]

    def pick(self, kind: str, number: int) -> Thing | None:
        found = self.of(kind)
        return found[number % len(found)] if found else None

    def holds_name(self, kind: str, name: str, *, live: bool) -> bool:
        return any(t.name == name and (t.is_live or not live) for t in self.of(kind))

    # Steps, each of which says what must come of it.

    def create(self, kind: str, number: int, name: str) -> None:
        getattr(self, f"create_{kind}")(number, name)

    def create_experiment(self, number: int, name: str) -> None:
        taken = self.holds_name("experiment", name, live=False)
        row = attempt(experiments.create_experiment, self.project, name=name)
        assert (row is None) == taken
        if row:
            self.things.append(Thing("experiment", row.pk, name))

    def create_run(self, number: int, name: str) -> None:
        parent = self.pick("experiment", number)
        if parent is None:
            return
        row = attempt(runs.create_run, parent.row(), name=name)
        assert (row is None) == (not parent.is_live)
        if row:
            self.things.append(Thing("run", row.pk, name, parent))

    def create_model(self, number: int, name: str) -> None:
        taken = self.holds_name("model", name, live=True)
        row = attempt(models.create_model, self.project, name=name)
        assert (row is None) == taken
        if row:
            self.things.append(Thing("model", row.pk, name))

    def create_version(self, number: int, name: str) -> None:
        parent, run = self.pick("model", number), self.pick("run", number)
        if parent is None:
            return
        of_run = run if number % 2 else None
        made_of = of_run.row() if of_run else None
        row = attempt(versions.create_version, parent.row(), run=made_of)
        assert (row is None) == (not parent.is_live)
        if row:
            self.things.append(Thing("version", row.pk, "", parent, of_run))

    def create_package(self, number: int, name: str) -> None:
        if not self.holds_name("package", name, live=True):
            row = PackageFactory(project=self.project, name=name, version="1")
            self.things.append(Thing("package", row.pk, name))

    def delete(self, kind: str, number: int, name: str) -> None:
        thing = self.pick(kind, number)
        if thing is None:
            return
        DELETIONS[kind](thing.row())
        if thing.is_live:
            batch = object()
            for each in (thing, *self.below(thing)):
                each.batch = each.batch or batch

    def restore(self, kind: str, number: int, name: str) -> None:
        thing = self.pick(kind, number)
        if thing is None or thing.is_live:
            return
        is_orphan = thing.parent is not None and not thing.parent.is_live
        is_taken = kind in ("model", "package") and self.holds_name(
            kind, thing.name, live=True
        )
        row = attempt(RESTORATIONS[kind], thing.row(), instead=True)
        assert (row is None) == (is_orphan or is_taken)
        if row is not None:
            batch = thing.batch
            for each in (thing, *self.below(thing)):
                each.batch = None if each.batch is batch else each.batch

    def purge(self, kind: str, number: int, name: str) -> None:
        asked = Asked(timezone.now(), before=timezone.now() + timedelta(days=1))
        scope = Scope(self.project.organization_id, "acme", self.project.pk)
        bound = scope.bound_as("command:purge", reason="a test")
        for _ in purging.purge(scope, Tally(), asked, bound, batch=1 + number % 3):
            pass
        for each in KINDS[::-1]:
            going = [t for t in self.of(each) if not t.is_live and not self.held(t)]
            gone = {*going, *(child for t in going for child in self.below(t))}
            self.things = [t for t in self.things if t not in gone]

    def held(self, thing: Thing) -> bool:
        """A version that is there still, deleted or not, keeps what it was made of."""
        used = [t.made_of for t in self.of("version") if t.made_of]
        return thing in used or any(run in used for run in self.below(thing))

    def check(self) -> None:
        for kind in KINDS:
            shown = CLASSES[kind].objects.in_project(self.project.pk)
            found = set(shown.exclude(**DEFAULT.get(kind, {})).values_list("pk"))
            assert found == {(t.key,) for t in self.of(kind) if t.is_live}, kind
            stored = CLASSES[kind]._base_manager.filter(project=self.project)
            stored = stored.exclude(**DEFAULT.get(kind, {})).order_by()
            assert set(stored.values_list("pk")) == {(t.key,) for t in self.of(kind)}


DEFAULT = {"experiment": {"iid": 0}}
DELETIONS: dict[str, Callable[[Any], object]] = {
    "experiment": experiments.delete_experiment,
    "run": runs.delete_run,
    "model": models.delete_model,
    "version": versions.delete_version,
    "package": packages.delete_package,
}
RESTORATIONS = {
    "experiment": experiments.restore_experiment,
    "run": runs.restore_run,
    "model": models.restore_model,
    "version": versions.restore_version,
    "package": packages.restore_package,
}


def attempt(service: Any, *args: Any, instead: Any = None, **kwargs: Any) -> Any:
    """Return what the service does, `instead` of nothing; None when it refuses."""
    try:
        with transaction.atomic():
            made = service(*args, **kwargs)
    except REFUSALS:
        return None
    return instead or made


def lively(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@lively(8)
@given(steps=STEPS)
def test_a_restore_gives_what_was_before_its_deletion(cast, steps):
    live(cast, steps)


@pytest.mark.soak
@lively(300)
@given(steps=STEPS)
def test_a_restore_gives_what_was_before_in_many_lives(cast, steps):
    live(cast, steps)


def live(cast, steps) -> None:
    world = World(cast.fraud)
    with acting_as("command:test", organization=cast.acme.pk):
        for action, kind, number, name in steps:
            getattr(world, action)(kind, number, name)
            world.check()
        transaction.set_rollback(True)

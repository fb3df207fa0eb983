"""Deleting and restoring at random: what comes back is what went, no more, no less."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.errors import AlreadyExists, Conflict, InvalidState
from registry.models import ModelVersion, RegisteredModel
from registry.services import models, versions
from tenants.context import acting_as

NAMES = ("a", "b")
ACTIONS = ("create", "delete", "restore", "register", "drop", "recover")
STEPS = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 4), st.sampled_from(NAMES)),
    max_size=25,
)


@dataclass
class Version:
    number: int
    # None while live, "alone", or "model" when it went along with its model.
    gone: str | None = None


@dataclass
class Model:
    """What one model should be, in memory."""

    row: RegisteredModel
    is_live: bool = True
    versions: list[Version] = field(default_factory=list)

    @property
    def live_numbers(self) -> list[int]:
        return [version.number for version in self.versions if version.gone is None]


def create(known: list[Model], project, name: str) -> None:
    taken = any(model.is_live and model.row.name == name for model in known)
    try:
        row = models.create_model(project, name=name)
    except AlreadyExists:
        assert taken
        return
    assert not taken
    known.append(Model(row))


def delete(model: Model) -> None:
    models.delete_model(model.row)
    for version in model.versions if model.is_live else []:
        version.gone = version.gone or "model"
    model.is_live = False


def restore(known: list[Model], model: Model) -> None:
    taken = any(
        other.is_live and other.row.name == model.row.name
        for other in known
        if other is not model
    )
    try:
        models.restore_model(model.row)
    except Conflict:
        assert taken
        return
    assert model.is_live or not taken
    model.is_live = True
    for version in model.versions:
        version.gone = None if version.gone == "model" else version.gone


def register(model: Model) -> None:
    try:
        made = versions.create_version(model.row)
    except InvalidState:
        assert not model.is_live
        return
    assert model.is_live
    assert made.version == len(model.versions) + 1
    model.versions.append(Version(made.version))


def drop(model: Model, number: int) -> None:
    if number < len(model.versions):
        known = model.versions[number]
        versions.delete_version(row_of(model, known))
        known.gone = known.gone or "alone"


def recover(model: Model, number: int) -> None:
    if number < len(model.versions):
        known = model.versions[number]
        try:
            versions.restore_version(row_of(model, known))
        except Conflict:
            assert not model.is_live
            return
        assert model.is_live
        known.gone = None


def row_of(model: Model, version: Version) -> ModelVersion:
    return model.row.versions.with_deleted().get(version=version.number)


def step(known: list[Model], project, action: str, number: int, name: str) -> None:
    """A refusal by the database would end the transaction, so each has a savepoint."""
    with transaction.atomic():
        if action == "create":
            create(known, project, name)
        elif known:
            model = known[number % len(known)]
            match action:
                case "delete":
                    delete(model)
                case "restore":
                    restore(known, model)
                case "register":
                    register(model)
                case "drop":
                    drop(model, number)
                case "recover":
                    recover(model, number)


def check(known: list[Model], project) -> None:
    live = RegisteredModel.objects.in_project(project.pk)
    assert set(live) == {model.row for model in known if model.is_live}
    for model in known:
        numbers = model.row.versions.order_by("version")
        found = list(numbers.values_list("version", flat=True))
        assert found == model.live_numbers


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_what_is_restored_is_what_was_deleted(cast, steps):
    known: list[Model] = []
    with acting_as("command:test", organization=cast.acme.pk):
        for action, number, name in steps:
            step(known, cast.fraud, action, number, name)
            check(known, cast.fraud)
        transaction.set_rollback(True)

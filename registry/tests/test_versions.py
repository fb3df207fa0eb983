from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from mlops.errors import Forbidden, InvalidState
from registry.models import ModelVersion, RegisteredModel, Stage
from registry.services import models, versions
from registry.tests.factories import ModelVersionFactory, RegisteredModelFactory
from tenants.context import Actor, tenant_transaction
from tenants.tests.factories import ProjectFactory

THREADS = 8


@pytest.fixture
def stored_model(transactional_db) -> RegisteredModel:
    """A model that is committed, so that several connections see it."""
    return RegisteredModelFactory(project=ProjectFactory())


def maintainer_of(model: RegisteredModel) -> Actor:
    return Actor(
        kind="user",
        organization_id=model.organization_id,
        roles=frozenset({"maintainer"}),
        permissions=frozenset({"*"}),
    )


def in_thread(model: RegisteredModel, work) -> object:
    try:
        with tenant_transaction(maintainer_of(model)):
            return work(RegisteredModel.objects.get(pk=model.pk))
    finally:
        connections.close_all()


def all_at_once(model: RegisteredModel, *works) -> list:
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(in_thread, model, work) for work in works]
        return [future.result(timeout=60) for future in futures]


def test_numbers_are_dense_when_many_register_at_once(stored_model):
    made = all_at_once(stored_model, *[versions.create_version] * 50)
    assert sorted(version.version for version in made) == list(range(1, 51))


def test_one_version_is_in_production_when_many_are_moved_at_once(stored_model):
    made = all_at_once(stored_model, *[versions.create_version] * THREADS)

    def promote(number):
        def work(model):
            version = model.versions.get(version=number)
            versions.transition_stage(
                version, stage=Stage.PRODUCTION, archive_existing=True
            )

        return work

    all_at_once(stored_model, *[promote(version.version) for version in made])
    stages = ModelVersion._base_manager.filter(registered_model=stored_model)
    assert list(stages.values_list("stage", flat=True)).count("Production") == 1


@pytest.fixture
def model(cast):
    model = RegisteredModelFactory(project=cast.fraud)
    with tenant_transaction(maintainer_of(model)):
        yield model


def test_a_number_is_not_given_twice_when_the_last_version_is_purged(model):
    last = versions.create_version(model)
    ModelVersion._base_manager.filter(pk=last.pk).delete()
    assert versions.create_version(model).version == 2


def test_a_number_goes_on_from_versions_that_were_imported(model):
    ModelVersionFactory(registered_model=model, version=7)
    assert versions.create_version(model).version == 8


def test_no_version_is_added_when_the_model_is_deleted(model):
    models.delete_model(model)
    with pytest.raises(InvalidState):
        versions.create_version(model)


def test_a_transition_to_the_same_stage_writes_nothing(model):
    version = versions.create_version(model)
    versions.transition_stage(version, stage=Stage.STAGING)
    changed = version.updated_at
    versions.transition_stage(version, stage=Stage.STAGING)
    version.refresh_from_db()
    assert version.updated_at == changed


def test_archiving_what_serves_needs_the_right_to_promote(model, cast):
    serving = versions.create_version(model)
    versions.transition_stage(serving, stage=Stage.PRODUCTION)
    other = versions.create_version(model)
    editor = Actor(
        kind="user",
        organization_id=model.organization_id,
        roles=frozenset({"editor"}),
        permissions=frozenset({"*"}),
    )
    with tenant_transaction(editor), pytest.raises(Forbidden):
        versions.transition_stage(other, stage=Stage.PRODUCTION, archive_existing=True)


def test_restoring_a_model_keeps_the_aliases_it_had(model):
    version = versions.create_version(model)
    models.set_alias(model, name="champion", version=version)
    models.delete_model(model)
    models.restore_model(model)
    assert [alias.name for alias in model.aliases.all()] == ["champion"]

"""What staff sees of the deleted, and does to them for good."""

from __future__ import annotations

import pytest

from registry.models import Run
from registry.services import experiments, runs
from registry.tests.factories import ExperimentFactory, RunFactory
from registry.tests.maintenance.commands import run as run_command
from tenants.context import acting_as
from tenants.models import User
from tenants.tests.factories import UserFactory
from tenants.tests.superuser import messages_of, rows_of, shown, superuser


@pytest.fixture
def root(cast):
    return superuser()


@pytest.fixture
def deleted(cast) -> Run:
    run = RunFactory(experiment__project=cast.fraud)
    with acting_as("command:test", organization=cast.acme.pk):
        runs.delete_run(run)
    return run


def test_lists_show_the_deleted_and_when_they_go(root, deleted):
    page = root.listed("registry_run")
    assert deleted in rows_of(page)
    opened = shown(root.opened(deleted))
    assert f"to be purged on {deleted.purge_after:%Y-%m-%d}" in opened


def test_a_run_below_a_deleted_experiment_is_not_restored_alone(root, cast):
    run = RunFactory(experiment__project=cast.fraud)
    with acting_as("command:test", organization=cast.acme.pk):
        experiments.delete_experiment(run.experiment)
    answer = root.act("restore_rows", run, confirmed="1")
    assert str(run.experiment_id) in shown(answer)
    run.refresh_from_db()
    assert run.deleted_at is not None


def test_a_purge_asks_for_the_name_and_a_reason(root, deleted):
    question = shown(root.act("purge_row", deleted))
    assert 'name="confirm"' in question
    assert deleted.name in question
    wrong = root.act("purge_row", deleted, confirmed="1", confirm="x", reason="old")
    assert "confirm=" in shown(wrong)
    without = root.act("purge_row", deleted, confirmed="1", confirm=deleted.name)
    assert any("Say why" in said for said in messages_of(without))
    done = root.act(
        "purge_row", deleted, confirmed="1", confirm=deleted.name, reason="old"
    )
    assert any("next purge" in said for said in messages_of(done))
    run_command("purge", "--yes")
    assert not Run._base_manager.filter(pk=deleted.pk).exists()


def test_rows_are_purged_one_by_one(root, deleted, cast):
    other = ExperimentFactory(project=cast.fraud)
    answer = root.act("purge_row", deleted, RunFactory(experiment=other))
    assert any("one by one" in said for said in messages_of(answer))


def test_a_person_is_erased_by_the_typed_name(root, settings, tmp_path):
    settings.ERASURES_FILE = str(tmp_path / "erasures.jsonl")
    person = UserFactory(username="theodora", email="theodora@quux.example")
    wrong = root.act("erase_person", person, confirmed="1", confirm="x", reason="mail")
    assert "type the user name" in shown(wrong)
    root.act(
        "erase_person", person, confirmed="1", confirm="theodora", reason="by mail"
    )
    assert not User.objects.filter(username="theodora").exists()
    person.refresh_from_db()
    assert person.email == ""
    assert not person.is_active

"""What is kept of a run at rest says at any time what its rows say."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from registry.models import (
    Dataset,
    Experiment,
    LatestMetric,
    Param,
    Run,
    RunDocument,
    RunInput,
    RunModel,
    RunTag,
)
from registry.tests.factories import ExperimentFactory, RunFactory
from registry.tests.protocol import data_of
from tests.settings import SUPERUSER_URL, TEST_DATABASE

LONG = 20


def kept(run_id):
    return RunDocument._base_manager.filter(pk=run_id)


def at_rest(tracking, **more):
    run_id = tracking.run(**more)
    tracking.ok("runs/update", run_id=run_id, status="FINISHED")
    return run_id


def read_both(tracking, run_id):
    """Read the run alone and on a page: two ways to one document."""
    alone = tracking.run_of(run_id)
    body = {"experiment_ids": ["7"], "run_view_type": "ALL"}
    on_page = {
        run["info"]["run_id"]: run for run in tracking.ok("runs/search", **body)["runs"]
    }
    assert on_page[run_id] == alone
    return alone


# What may be written to a run, by whatever way


def log_metric(tracking, run_id, chance):
    point = {"key": f"m{chance.randrange(3)}", "value": chance.random()}
    stamps = {"timestamp": chance.randrange(10), "step": chance.randrange(5)}
    tracking.ok("runs/log-metric", run_id=run_id, **point, **stamps)


def log_batch(tracking, run_id, chance):
    key, value = f"p{chance.randrange(10**9)}", str(chance.random())
    batch = {
        "params": [{"key": key, "value": value}],
        "tags": [{"key": f"t{chance.randrange(3)}", "value": value}],
        "metrics": [{"key": "m0", "value": 1, "timestamp": 99, "step": 99}],
    }
    names = chance.sample(sorted(batch), chance.randrange(1, 4))
    tracking.ok(
        "runs/log-batch", run_id=run_id, **{name: batch[name] for name in names}
    )


def set_tag(tracking, run_id, chance):
    key = chance.choice(["t0", "t1", "mlflow.runName"])
    value = str(chance.randrange(100))
    tracking.ok("runs/set-tag", run_id=run_id, key=key, value=value)


def delete_tag(tracking, run_id, chance):
    if RunTag._base_manager.filter(run_id=run_id, key="t0").exists():
        tracking.ok("runs/delete-tag", run_id=run_id, key="t0")


def update(tracking, run_id, chance):
    status = chance.choice(["FINISHED", "FAILED", "KILLED"])
    tracking.ok("runs/update", run_id=run_id, status=status, end_time=LONG)


def rename(tracking, run_id, chance):
    tracking.ok("runs/update", run_id=run_id, run_name=f"n{chance.randrange(100)}")


def delete_and_restore(tracking, run_id, chance):
    tracking.ok("runs/delete", run_id=run_id)
    assert read_both(tracking, run_id)["info"]["lifecycle_stage"] == "deleted"
    tracking.ok("runs/restore", run_id=run_id)


def log_inputs(tracking, run_id, chance):
    name = f"d{chance.randrange(3)}"
    data = {"name": name, "digest": "x", "source_type": "local", "source": "s"}
    tracking.ok("runs/log-inputs", run_id=run_id, datasets=[{"dataset": data}])


def log_outputs(tracking, run_id, chance):
    made = tracking.ok(
        "logged-models", experiment_id="7", name="m", source_run_id=run_id
    )
    model = made["model"]["info"]["model_id"]
    tracking.ok(
        "runs/outputs", run_id=run_id, models=[{"model_id": model, "step": LONG}]
    )


def change_rows(tracking, run_id, chance):
    """As an import, a command or somebody at a prompt would."""
    value = str(chance.randrange(10**6))
    mine = {"run_id": run_id}
    changes: list[Callable[[], Any]] = [
        lambda: LatestMetric._base_manager.filter(**mine).update(value=float(value)),
        lambda: RunTag._base_manager.filter(**mine).update(value=value),
        lambda: Param._base_manager.filter(**mine).delete(),
        lambda: RunInput._base_manager.filter(**mine).delete(),
        lambda: RunModel._base_manager.filter(**mine).update(step=int(value)),
        lambda: Run._base_manager.filter(pk=run_id).update(user_name=value),
        lambda: Dataset._base_manager.update(source=value),
        lambda: Experiment._base_manager.update(artifact_location=f"s3://b/{value}"),
    ]
    chance.choice(changes)()


WRITES = [
    log_metric,
    log_batch,
    set_tag,
    delete_tag,
    update,
    rename,
    delete_and_restore,
    log_inputs,
    log_outputs,
    change_rows,
]


@pytest.fixture
def trees(cast):
    return ExperimentFactory(project=cast.fraud, name="trees", iid=7)


@pytest.mark.parametrize("seed", range(3))
def test_a_kept_document_is_what_the_rows_say_after_any_writes(fraud, trees, seed):
    chance = random.Random(seed)
    runs = [at_rest(fraud, experiment_id="7") for _ in range(2)]
    for _ in range(LONG):
        run_id = chance.choice(runs)
        chance.choice(WRITES)(fraud, run_id, chance)
        after = [read_both(fraud, each) for each in runs]
        assert kept(run_id).exists()
        RunDocument._base_manager.all().delete()
        assert after == [read_both(fraud, each) for each in runs]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_each_write_throws_the_document_away(fraud, trees, write):
    chance = random.Random(4)
    run_id = at_rest(fraud, experiment_id="7", tags=[{"key": "t0", "value": "v"}])
    other = at_rest(fraud, experiment_id="7")
    log_inputs(fraud, run_id, chance)
    read_both(fraud, run_id)
    assert kept(run_id).exists()
    with transaction.atomic():
        kept_before = kept(run_id).get().document
        write(fraud, run_id, chance)
        assert not kept(run_id).filter(document=kept_before).exists()
    if write is not change_rows:
        assert kept(other).exists()


def test_without_the_trigger_the_comparison_would_fail(fraud, trees):
    run_id = at_rest(fraud, experiment_id="7")
    read_both(fraud, run_id)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE run_tags DISABLE TRIGGER run_tags_outdates_update")
    RunTag._base_manager.filter(run_id=run_id).update(value="new")
    stale = read_both(fraud, run_id)
    RunDocument._base_manager.all().delete()
    assert stale != read_both(fraud, run_id)


# Which runs have one


def test_a_run_that_is_still_running_is_built_for_each_reader(fraud):
    run_id = fraud.run()
    assert fraud.run_of(run_id) == fraud.run_of(run_id)
    assert not kept(run_id).exists()
    fraud.ok("runs/update", run_id=run_id, status="KILLED")
    assert not kept(run_id).exists()
    assert fraud.run_of(run_id)["info"]["status"] == "KILLED"
    assert kept(run_id).exists()


def test_who_may_only_read_builds_it_as_well(fraud, reader):
    run_id = at_rest(fraud)
    assert reader.run_of(run_id) == fraud.run_of(run_id)
    assert kept(run_id).exists()


def test_a_long_page_is_built_a_part_at_a_time(fraud, trees):
    RunFactory.create_batch(230, experiment=trees, status="FINISHED")
    first = fraud.ok("runs/search", experiment_ids=["7"])
    assert RunDocument._base_manager.count() == 200
    assert fraud.ok("runs/search", experiment_ids=["7"]) == first
    assert RunDocument._base_manager.count() == 230
    assert fraud.ok("runs/search", experiment_ids=["7"]) == first


def test_a_page_mixes_kept_and_new_runs_in_order(fraud, trees):
    for number in range(6):
        status = "FINISHED" if number % 2 else "RUNNING"
        RunFactory(experiment=trees, status=status, start_time_ms=number)
    used = {"name": "d", "digest": "x", "source_type": "local", "source": "s"}
    at = {"experiment_ids": ["7"]}
    runs = fraud.ok("runs/search", **at)["runs"]
    for place in (0, 1):
        run_id = runs[place]["info"]["run_id"]
        fraud.ok("runs/log-inputs", run_id=run_id, datasets=[{"dataset": used}])
    runs = fraud.ok("runs/search", **at)["runs"]
    assert [run["info"]["start_time"] for run in runs] == [5, 4, 3, 2, 1, 0]
    assert ["dataset_inputs" in run["inputs"] for run in runs] == [True] * 2 + [
        False
    ] * 4


def test_a_transaction_that_may_not_write_reads_all_the_same(fraud):
    run_id = at_rest(fraud)
    expected = fraud.run_of(run_id)
    RunDocument._base_manager.all().delete()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
        assert fraud.run_of(run_id) == expected
        transaction.set_rollback(True)
    assert not kept(run_id).exists()


# Writers and readers at the same time


@pytest.fixture
def elsewhere():
    """A second connection, as another process would have one."""
    with psycopg.connect(SUPERUSER_URL, dbname=TEST_DATABASE) as other:
        yield other


def test_a_run_that_is_being_written_to_gets_no_document(committed, elsewhere):
    run_id = at_rest(committed)
    elsewhere.execute(
        "UPDATE run_tags SET value = 'late' WHERE experiment_run_id = %s", [run_id]
    )
    committed.run_of(run_id)
    assert not kept(run_id).exists()
    elsewhere.commit()
    tags = data_of(committed.run_of(run_id), "tags")
    assert tags["mlflow.runName"] == "late"
    assert kept(run_id).exists()


def test_a_write_waits_for_the_reader_who_builds_and_then_wins(committed, elsewhere):
    run_id = at_rest(committed)
    (organization,) = Run._base_manager.filter(pk=run_id).values_list(
        "organization_id", flat=True
    )
    elsewhere.execute(
        "SELECT registry_build_documents(%s, %s::uuid[])", [organization, [run_id]]
    )
    body = {"run_id": run_id, "key": "late", "value": "yes"}
    writer = threading.Thread(target=in_own_connection, args=(committed, body))
    writer.start()
    writer.join(0.5)
    assert writer.is_alive()
    elsewhere.commit()
    writer.join(10)
    assert not kept(run_id).exists()
    assert data_of(committed.run_of(run_id), "tags")["late"] == "yes"


def in_own_connection(tracking, body):
    try:
        tracking.ok("runs/set-tag", **body)
    finally:
        connection.close()

from __future__ import annotations

import base64
import re
import threading
import time

import orjson
import pytest
from django.db import connection

from conftest import WebClient, client_of
from registry.models import Dataset, Run, RunInput
from registry.services import runs as services
from registry.services.run_names import ADJECTIVES, NOUNS, new_run_name
from registry.tests.factories import ExperimentFactory
from registry.tests.protocol import (
    PREFIX,
    Tracking,
    absent,
    data_of,
    error,
    invalid,
    missing,
    mistyped,
    statements,
    stored_run,
    tracking_as,
)
from tenants.context import Actor, tenant_transaction
from tenants.tests.factories import make_api_token

NOW = 1_800_000_000_000
RUN_ID = re.compile(r"[0-9a-f]{32}")


def now_ms():
    return time.time_ns() // 1_000_000


@pytest.fixture
def run(fraud):
    return fraud.run()


# Create


def test_a_created_run_answers_as_mlflow_does(fraud, cast):
    response = fraud.post("runs/create", experiment_id="0")
    assert statements(response) == 1
    run = response.json()["run"]
    run_id = run["info"]["run_id"]
    assert RUN_ID.fullmatch(run_id)
    name = run["info"]["run_name"]
    assert run == {
        "info": {
            "run_uuid": run_id,
            "run_id": run_id,
            "run_name": name,
            "experiment_id": "0",
            "user_id": "",
            "status": "RUNNING",
            "start_time": 0,
            "artifact_uri": f"mlflow-artifacts:/0/{run_id}/artifacts",
            "lifecycle_stage": "active",
        },
        "data": {"tags": [{"key": "mlflow.runName", "value": name}]},
        "inputs": {},
        "outputs": {},
    }
    row = stored_run(run_id)
    assert (row.organization_id, row.project_id) == (cast.acme.pk, cast.fraud.pk)
    assert (row.id.version, row.metadata) == (7, {})


def test_a_created_run_is_the_run_that_get_shows(fraud):
    body = {
        "experiment_id": "0",
        "user_id": "bob",
        "run_name": "Größe 損失",
        "start_time": str(NOW),
        "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "b"}],
    }
    created = fraud.ok("runs/create", **body)["run"]
    assert fraud.run_of(created["info"]["run_id"]) == created
    assert created["info"]["run_name"] == "Größe 損失"
    assert created["info"]["start_time"] == NOW
    assert created["info"]["user_id"] == "bob"
    tags = {"a": "2", "b": "", "mlflow.runName": "Größe 損失"}
    assert data_of(created, "tags") == tags


def test_runs_are_numbered_per_project(fraud, churn, stranger_in_fraud):
    numbers = [
        stored_run(client.run()).iid
        for client in (fraud, fraud, churn, stranger_in_fraud, fraud)
    ]
    assert numbers == [1, 2, 1, 1, 3]


def test_a_run_takes_its_name_from_the_tag(fraud):
    tag = {"key": "mlflow.runName", "value": "tagged"}
    for more in ({}, {"run_name": "tagged"}, {"run_name": ""}):
        run = fraud.ok("runs/create", experiment_id="0", tags=[tag], **more)["run"]
        assert run["info"]["run_name"] == "tagged"
        assert data_of(run, "tags") == {"mlflow.runName": "tagged"}


def test_a_run_without_name_gets_one_that_people_can_say(fraud):
    run = fraud.run_of(fraud.run())
    name = run["info"]["run_name"]
    adjective, noun, number = name.split("-")
    assert (adjective in ADJECTIVES, noun in NOUNS, number.isdigit()) == (True,) * 3
    assert data_of(run, "tags") == {"mlflow.runName": name}


def test_names_that_are_drawn_differ():
    assert len({new_run_name() for _ in range(1000)}) > 950


def test_the_place_of_artifacts_follows_the_experiment(fraud, settings):
    settings.ARTIFACT_LOCATIONS = ["*=s3://bucket"]
    for location in ("s3://bucket/deep", "s3://bucket/deep/"):
        experiment = fraud.experiment(location, artifact_location=location)
        run = fraud.ok("runs/create", experiment_id=experiment)["run"]["info"]
        assert run["artifact_uri"] == f"s3://bucket/deep/{run['run_id']}/artifacts"


@pytest.mark.parametrize("start", [-(2**63), -1, 0, 2**63 - 1, 253_402_300_800_000])
def test_any_int64_is_a_start_time(fraud, start):
    run = fraud.ok("runs/create", experiment_id="0", start_time=start)["run"]
    assert run["info"]["start_time"] == start
    fraud.ok("runs/update", run_id=run["info"]["run_id"], end_time=start)
    assert fraud.run_of(run["info"]["run_id"])["info"]["end_time"] == start


def test_tags_of_a_new_run_may_have_any_key(fraud):
    tags = [{"key": "a%/../b", "value": "v" * 9000}]
    run = fraud.ok("runs/create", experiment_id="0", tags=tags)["run"]
    found = data_of(run, "tags")
    assert found["a%/../b"] == "v" * 8000


REFUSED = [
    ("no experiment", {"experiment_id": None}, missing("experiment_id")),
    ("an empty experiment", {"experiment_id": ""}, missing("experiment_id")),
    (
        "an experiment that is a number",
        {"experiment_id": 0},
        mistyped("0", "experiment_id", "int"),
    ),
    (
        "an experiment that is no number",
        {"experiment_id": "abc"},
        invalid("Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
    ),
    (
        "an unknown experiment",
        {"experiment_id": "99"},
        absent("No Experiment with id=99 exists"),
    ),
    (
        "a negative experiment",
        {"experiment_id": "-1"},
        absent("No Experiment with id=-1 exists"),
    ),
    (
        "two names",
        {"run_name": "n", "tags": [{"key": "mlflow.runName", "value": "m"}]},
        invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with "
            "different values (run_name='n', mlflow.runName='m')."
        ),
    ),
    (
        "a long name",
        {"run_name": "n" * 501},
        invalid("'run_name' exceeds the maximum length of 500 characters"),
    ),
    (
        "a name of a megabyte",
        {"run_name": "n" * 1_000_000},
        invalid("'run_name' exceeds the maximum length of 500 characters"),
    ),
    (
        "a name that cannot be seen",
        {"run_name": "a\tb"},
        invalid(
            "Invalid value \"a\\tb\" for parameter 'run_name' supplied: "
            "It holds control characters."
        ),
    ),
    (
        "a long user",
        {"user_id": "u" * 257},
        invalid("'user_id' exceeds the maximum length of 256 characters"),
    ),
    (
        "a time that is no number",
        {"start_time": "abc"},
        mistyped('"abc"', "start_time", "str"),
    ),
    (
        "a tag that is no object",
        {"tags": ["a"]},
        mistyped('"a"', "tags[0]", "str"),
    ),
    (
        "a long tag key",
        {"tags": [{"key": "k" * 251}]},
        invalid("'tags[0].key' exceeds the maximum length of 250 characters"),
    ),
]


@pytest.mark.parametrize(
    "_case,change,expected", REFUSED, ids=[case for case, *_ in REFUSED]
)
def test_a_wrong_create_is_refused_and_takes_no_number(fraud, _case, change, expected):
    body = {"experiment_id": "0", **change}
    assert error(fraud.post("runs/create", **body)) == expected
    assert stored_run(fraud.run()).iid == 1


def test_a_long_name_is_kept_up_to_its_limit(fraud):
    run = fraud.run_of(fraud.run(run_name="n" * 500))
    assert run["info"]["run_name"] == "n" * 500


def test_a_run_in_a_deleted_experiment_is_refused(fraud):
    experiment = fraud.experiment()
    fraud.ok("experiments/delete", experiment_id=experiment)
    assert error(fraud.post("runs/create", experiment_id=experiment)) == invalid(
        f"The experiment {experiment} must be in the 'active' state. "
        "Current state is deleted."
    )


def test_a_foreign_experiment_is_absent_for_mallory(fraud, stranger_in_fraud, churn):
    experiment = fraud.experiment()
    for other in (stranger_in_fraud, churn):
        response = other.post("runs/create", experiment_id=experiment)
        unknown = other.post("runs/create", experiment_id="4711")
        expected = unknown.content.replace(b"4711", experiment.encode())
        assert (response.status_code, response.content) == (404, expected)


# Create, sent again


def test_a_create_that_is_sent_again_makes_one_run(fraud):
    body = {"experiment_id": "0", "start_time": now_ms(), "tags": [{"key": "a"}]}
    first, again = (fraud.ok("runs/create", **body) for _ in range(2))
    assert first == again
    assert Run._base_manager.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"start_time": 1},
        {"run_name": "other"},
        {"user_id": "other"},
        {"tags": [{"key": "b"}]},
        {"experiment_id": "7"},
    ],
)
def test_a_create_that_differs_makes_another_run(fraud, cast, change):
    ExperimentFactory(project=cast.fraud, iid=7)
    body = {"experiment_id": "0", "start_time": now_ms(), "tags": [{"key": "a"}]}
    if "start_time" in change:
        change = {"start_time": body["start_time"] + 1}
    assert fraud.run(**body) != fraud.run(**{**body, **change})


@pytest.mark.parametrize("start", [0, 1234, "three hours ago", -5])
def test_a_create_of_another_day_is_made_on_purpose(fraud, start):
    start = now_ms() - 3 * 3600 * 1000 if isinstance(start, str) else start
    assert fraud.run(start_time=start) != fraud.run(start_time=start)


def test_children_that_look_alike_are_all_made(fraud):
    """A search over parameters makes them in one millisecond, without names."""
    tags = [{"key": "mlflow.parentRunId", "value": fraud.run()}]
    body = {"start_time": now_ms(), "tags": tags}
    assert len({fraud.run(**body) for _ in range(3)}) == 3


@pytest.mark.parametrize(
    "agent,count",
    [
        ("mlflow-python-client/2.22.5", 1),
        ("mlflow-python-client/3.17.2", 1),
        ("mlflow-python-client/3.18.0", 2),
        ("mlflow-python-client/3.18.0rc1 more", 2),
        ("mlflow-python-client/10.0.0", 2),
        ("mlflow-python-client/", 1),
        ("another/3.18", 1),
        ("", 1),
    ],
)
def test_a_client_that_sends_no_create_again_makes_what_it_asks_for(
    fraud, agent, count
):
    """Two of its threads may ask in the same millisecond."""
    body = orjson.dumps({"experiment_id": "0", "start_time": now_ms()})
    for _ in range(2):
        response = fraud.send("runs/create", body, headers={"user-agent": agent})
        assert response.status_code == 200
    assert Run._base_manager.count() == count


LOGGED = [
    ("a metric", "runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}),
    ("a param", "runs/log-parameter", {"key": "p", "value": "1"}),
    ("its end", "runs/update", {"status": "FINISHED"}),
    ("its deletion", "runs/delete", {}),
    (
        "a dataset",
        "runs/log-inputs",
        {
            "datasets": [
                {
                    "dataset": {
                        "name": "d",
                        "digest": "x",
                        "source_type": "local",
                        "source": "s",
                    }
                }
            ]
        },
    ),
]


@pytest.mark.parametrize("_case,path,body", LOGGED, ids=[case for case, *_ in LOGGED])
def test_a_run_with_something_logged_is_nobody_elses_answer(fraud, _case, path, body):
    start = now_ms()
    first = fraud.run(start_time=start)
    fraud.ok(path, run_id=first, **body)
    second = fraud.run(start_time=start)
    assert second != first
    assert fraud.run(start_time=start) not in (first, second)


def test_a_run_of_two_minutes_ago_is_nobody_elses_answer(fraud):
    start = now_ms()
    first = fraud.run(start_time=start)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE experiment_runs SET created_at = now() - interval '121 seconds'"
        )
    assert fraud.run(start_time=start) != first


def test_two_tokens_never_share_a_run(cast, fraud):
    start = now_ms()
    other = tracking_as(cast.alice, cast.fraud)
    assert fraud.run(start_time=start) != other.run(start_time=start)


def at_once(client, bodies):
    """Create runs in as many threads, and return their ids."""
    made = []

    def create(body):
        made.append(client.run(**body))
        connection.close()

    threads = [threading.Thread(target=create, args=[body]) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


def test_a_create_that_overtakes_its_first_try_makes_one_run(committed):
    made = at_once(committed, [{"start_time": now_ms()}] * 6)
    assert len(made) == 6
    assert len(set(made)) == 1


def test_runs_made_at_once_are_numbered_apart(committed):
    made = at_once(committed, [{"start_time": start} for start in range(6)])
    assert sorted(stored_run(run).iid for run in made) == [1, 2, 3, 4, 5, 6]


# Get


def test_get_shows_a_deleted_run(fraud, run):
    fraud.ok("runs/delete", run_id=run)
    assert fraud.run_of(run)["info"]["lifecycle_stage"] == "deleted"


def test_get_takes_one_statement_whatever_the_run_holds(fraud, run):
    empty = fraud.get("runs/get", run_id=run)
    fraud.ok(
        "runs/log-batch",
        run_id=run,
        metrics=[{"key": f"m{i}", "value": i, "timestamp": 1} for i in range(100)],
        params=[{"key": f"p{i}", "value": "1"} for i in range(100)],
        tags=[{"key": f"t{i}", "value": "1"} for i in range(100)],
    )
    full = fraud.get("runs/get", run_uuid=run)
    assert (statements(empty), statements(full)) == (1, 1)
    assert len(data_of(full.json()["run"], "tags")) == 101


@pytest.mark.parametrize(
    "run_id", ["nope", "0" * 32, "0" * 31, "%00", "' OR 1=1 --", "{run}-", "{RUN}"]
)
def test_what_is_no_run_is_absent(fraud, run, run_id):
    run_id = run_id.format(run=run, RUN=run.upper())
    response = fraud.get("runs/get", run_id=run_id)
    assert error(response) == absent(f"Run with id={run_id} not found")


def test_a_get_without_run_is_refused(fraud):
    assert error(fraud.get("runs/get")) == missing("run_id")


def test_a_foreign_run_is_absent_for_mallory(fraud, run, stranger_in_fraud, churn):
    for other in (stranger_in_fraud, churn):
        response = other.get("runs/get", run_id=run)
        unknown = other.get("runs/get", run_id="0" * 32)
        expected = unknown.content.replace(b"0" * 32, run.encode())
        assert (response.status_code, response.content) == (404, expected)


# Update


def test_an_update_answers_the_run_as_it_is_then(fraud, run):
    response = fraud.post(
        "runs/update", run_id=run, status="FINISHED", end_time=123, run_name="new"
    )
    assert statements(response) == 1
    found = fraud.run_of(run)
    assert response.json() == {"run_info": found["info"]}
    assert found["info"]["status"] == "FINISHED"
    assert found["info"]["end_time"] == 123
    assert found["info"]["run_name"] == "new"
    assert data_of(found, "tags") == {"mlflow.runName": "new"}


def test_an_update_leaves_alone_what_it_does_not_name(fraud, run):
    fraud.ok("runs/update", run_id=run, status="KILLED", end_time=5, run_name="kept")
    before = fraud.run_of(run)
    for change in ({}, {"run_name": ""}, {"status": None}, {"end_time": None}):
        answer = fraud.ok("runs/update", run_id=run, **change)
        assert answer == {"run_info": before["info"]}
    assert fraud.run_of(run) == before


@pytest.mark.parametrize(
    "status,expected",
    [
        ("RUNNING", "RUNNING"),
        ("SCHEDULED", "SCHEDULED"),
        ("FAILED", "FAILED"),
        (3, "FINISHED"),
        ("5", "KILLED"),
        ("BAD", "RUNNING"),
        ("finished", "RUNNING"),
    ],
)
def test_a_state_is_changed_and_a_wrong_word_passed_over(fraud, run, status, expected):
    answer = fraud.ok("runs/update", run_id=run, status=status)
    assert answer["run_info"]["status"] == expected


def test_a_state_may_change_freely(fraud, run):
    for status in ("FINISHED", "RUNNING", "FAILED", "SCHEDULED"):
        fraud.ok("runs/update", run_id=run, status=status)
        assert fraud.run_of(run)["info"]["status"] == status


@pytest.mark.parametrize(
    "change",
    [{"status": []}, {"status": 1.5}, {"status": 99}, {"end_time": "x"}],
)
def test_an_update_of_another_type_is_refused(fraud, run, change):
    response = fraud.post("runs/update", run_id=run, **change)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


# Delete and restore


def test_a_run_is_deleted_and_restored_as_often_as_asked(fraud, run, cast):
    before = fraud.run_of(run)
    for _ in range(2):
        assert fraud.ok("runs/delete", run_id=run) == {}
    row = stored_run(run)
    assert (row.deleted_by, row.deleted_at is None) == (cast.alice.pk, False)
    for _ in range(2):
        assert fraud.ok("runs/restore", run_id=run) == {}
    row = stored_run(run)
    assert (row.deleted_at, row.deleted_by, row.delete_batch) == (None, None, None)
    assert fraud.run_of(run) == before


COLD_WRITES = [
    ("runs/delete", {}),
    ("runs/restore", {}),
    ("runs/delete-tag", {"key": "mlflow.runName"}),
    ("runs/log-inputs", {"datasets": []}),
    (
        "runs/log-model",
        {
            "model_json": orjson.dumps(
                {
                    "artifact_path": "m",
                    "flavors": {},
                    "utc_time_created": "t",
                    "run_id": "r",
                }
            ).decode()
        },
    ),
]


@pytest.mark.parametrize("path,body", COLD_WRITES)
def test_a_foreign_run_is_absent_for_whoever_would_change_it(
    fraud, run, stranger_in_fraud, churn, path, body
):
    for other in (stranger_in_fraud, churn):
        response = other.post(path, run_id=run, **body)
        unknown = other.post(path, run_id="0" * 32, **body)
        assert error(response) == absent(f"Run with id={run} not found")
        expected = unknown.content.replace(b"0" * 32, run.encode())
        assert response.content == expected
    assert error(fraud.post(path, run_id="nope", **body)) == absent(
        "Run with id=nope not found"
    )


@pytest.mark.parametrize("path,body", COLD_WRITES)
def test_a_reader_may_change_nothing(run, reader, path, body):
    response = reader.post(path, run_id=run, **body)
    assert error(response)[:2] == (403, "PERMISSION_DENIED")


# Tags


def test_a_tag_is_deleted_once(fraud, run):
    fraud.ok("runs/set-tag", run_id=run, key="t", value="1")
    assert fraud.ok("runs/delete-tag", run_id=run, key="t") == {}
    assert "t" not in data_of(fraud.run_of(run), "tags")
    assert error(fraud.post("runs/delete-tag", run_id=run, key="t")) == absent(
        f"No tag with name: t in run with id {run}"
    )


def test_a_tag_of_a_deleted_run_stays(fraud, run):
    fraud.ok("runs/delete", run_id=run)
    response = fraud.post("runs/delete-tag", run_id=run, key="mlflow.runName")
    assert error(response) == invalid(
        f"The run {run} must be in the 'active' state. Current state is deleted."
    )


# Datasets


def dataset(**change):
    plain = {"name": "d", "digest": "x", "source_type": "local", "source": "s"}
    return {"dataset": {**plain, **change}}


def test_a_dataset_is_shown_with_its_labels(fraud, run):
    context = {"key": "mlflow.data.context", "value": "training"}
    full = dataset(schema='{"a": "ü"}', profile="p")
    fraud.ok("runs/log-inputs", run_id=run, datasets=[{**full, "tags": [context]}])
    assert fraud.run_of(run)["inputs"] == {
        "dataset_inputs": [{"tags": [context], "dataset": full["dataset"]}]
    }


def test_a_dataset_is_stored_once_per_experiment(fraud, run):
    other = fraud.run()
    for each in (run, run, other):
        fraud.ok("runs/log-inputs", run_id=each, datasets=[dataset(), dataset()])
    assert (Dataset._base_manager.count(), RunInput._base_manager.count()) == (1, 2)


def test_the_first_labels_of_a_dataset_stay(fraud, run):
    for value in ("first", "second"):
        labelled = {**dataset(), "tags": [{"key": "k", "value": value}]}
        fraud.ok("runs/log-inputs", run_id=run, datasets=[labelled])
    (found,) = fraud.run_of(run)["inputs"]["dataset_inputs"]
    assert found["tags"] == [{"key": "k", "value": "first"}]


def test_datasets_take_the_same_statements_however_many(fraud, run):
    counts = set()
    for count in (1, 20, 200):
        body = [dataset(name=f"{count}-{i}") for i in range(count)]
        response = fraud.post("runs/log-inputs", run_id=run, datasets=body)
        assert response.status_code == 200
        counts.add(statements(response))
    # savepoint, admission, run, datasets, their ids, how many uses are known, how
    # many the run has, uses, release
    assert counts == {9}
    assert len(fraud.run_of(run)["inputs"]["dataset_inputs"]) == 221


WRONG_INPUTS = [
    ("no dataset", [{}], missing("datasets[0].dataset")),
    ("no digest", [dataset(digest="")], missing("datasets[0].dataset.digest")),
    ("no source", [dataset(source=None)], missing("datasets[0].dataset.source")),
    (
        "a long name",
        [dataset(name="n" * 501)],
        invalid("'name' exceeds the maximum length of 500 characters"),
    ),
    (
        "a long digest",
        [dataset(digest="n" * 37)],
        invalid("'digest' exceeds the maximum length of 36 characters"),
    ),
    (
        "a long source",
        [dataset(source="n" * 65_536)],
        invalid("'source' exceeds the maximum length of 65535 characters"),
    ),
    (
        "a long schema",
        [dataset(schema="n" * 1_048_576)],
        invalid("'schema' exceeds the maximum length of 1048575 characters"),
    ),
    (
        "a long label key",
        [{**dataset(), "tags": [{"key": "k" * 256, "value": ""}]}],
        invalid("'key' exceeds the maximum length of 255 characters"),
    ),
    (
        "a long label",
        [{**dataset(), "tags": [{"key": "k", "value": "v" * 501}]}],
        invalid("'value' exceeds the maximum length of 500 characters"),
    ),
    (
        "datasets that are no list",
        "x",
        mistyped('"x"', "datasets", "str"),
    ),
    (
        "too many datasets",
        [dataset()] * 1001,
        invalid("'datasets' holds 1001 datasets; log at most 1000."),
    ),
]


@pytest.mark.parametrize(
    "_case,datasets,expected", WRONG_INPUTS, ids=[case for case, *_ in WRONG_INPUTS]
)
def test_a_wrong_dataset_is_refused(fraud, run, _case, datasets, expected):
    response = fraud.post("runs/log-inputs", run_id=run, datasets=datasets)
    assert error(response) == expected


@pytest.mark.parametrize("wrong", ["x", {"dataset": "x"}, 5, {**dataset(), "tags": 5}])
def test_a_dataset_of_another_type_is_refused(fraud, run, wrong):
    response = fraud.post("runs/log-inputs", run_id=run, datasets=[wrong])
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_a_profile_of_megabytes_is_kept(fraud, run):
    large = dataset(profile="p" * 4_000_000)
    fraud.ok("runs/log-inputs", run_id=run, datasets=[large])
    (found,) = fraud.run_of(run)["inputs"]["dataset_inputs"]
    assert len(found["dataset"]["profile"]) == 4_000_000


def test_a_dataset_of_a_deleted_run_is_refused(fraud, run):
    fraud.ok("runs/delete", run_id=run)
    response = fraud.post("runs/log-inputs", run_id=run, datasets=[dataset()])
    assert error(response) == invalid(
        f"The run {run} must be in the 'active' state. Current state is deleted."
    )


def test_an_input_that_is_no_model_is_not_found(fraud, run):
    response = fraud.post("runs/log-inputs", run_id=run, models=[{"model_id": "m-1"}])
    assert error(response) == absent("Logged model with ID 'm-1' not found.")


# Models, as clients before 3.0 leave word of them


def old_model(**change):
    plain = {
        "run_id": "r",
        "artifact_path": "model",
        "utc_time_created": "2020-01-01",
        "flavors": {"sklearn": {"v": "1", "config": {"secret": 1}}},
        "other": "left out",
    }
    return orjson.dumps({**plain, **change}).decode()


def test_models_are_listed_in_the_tag_of_their_run(fraud, run):
    for path in ("first", "second"):
        model = old_model(artifact_path=path)
        fraud.ok("runs/log-model", run_id=run, model_json=model)
    history = data_of(fraud.run_of(run), "tags")["mlflow.log-model.history"]
    first, second = orjson.loads(history)
    assert first == {
        "run_id": "r",
        "artifact_path": "first",
        "utc_time_created": "2020-01-01",
        "model_uuid": None,
        "flavors": {"sklearn": {"v": "1"}},
    }
    assert second["artifact_path"] == "second"


def test_a_wrong_model_is_refused(fraud, run):
    response = fraud.post("runs/log-model", run_id=run, model_json="{")
    assert error(response) == invalid(
        "Malformed model info. \n { \n is not a valid JSON."
    )
    for wrong in ("{}", "[]", "5"):
        response = fraud.post("runs/log-model", run_id=run, model_json=wrong)
        assert error(response) == invalid(
            "Model json is missing mandatory fields: "
            "['artifact_path', 'flavors', 'run_id', 'utc_time_created']"
        )


def test_a_tag_full_of_models_takes_no_more(fraud, run):
    large = old_model(artifact_path="p" * 4500)
    fraud.ok("runs/log-model", run_id=run, model_json=large)
    response = fraud.post("runs/log-model", run_id=run, model_json=large)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


# The same service, from other skins


def test_a_run_of_rest_is_numbered_and_named_alike(cast, fraud):
    fraud.run()
    experiment = ExperimentFactory(project=cast.fraud, iid=7)
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with tenant_transaction(actor):
        run = services.create_run(experiment, tags={"team": "a"})
        services.update_run(run, name="renamed", status="FINISHED")
    found = fraud.run_of(run.pk.hex)
    assert (run.iid, found["info"]["status"]) == (2, "FINISHED")
    assert data_of(found, "tags") == {"mlflow.runName": "renamed", "team": "a"}


# Ways in


def test_a_token_may_come_as_password(cast, fraud):
    text = make_api_token(cast.alice, cast.acme, cast.fraud).text
    for user in ("token", "alice"):
        basic = base64.b64encode(f"{user}:{text}".encode()).decode()
        client = WebClient(headers={"authorization": f"Basic {basic}"})
        assert Tracking(client).run()


def test_all_prefixes_lead_to_the_same_runs(cast, fraud, run):
    for api in ("api", "ajax-api"):
        for version in ("2.0", "3.0"):
            for mount in ("/", "/mlflow/acme/fraud/"):
                address = f"{mount}{api}/{version}/mlflow/"
                other = Tracking(fraud.client, address)
                assert other.run_of(run)["info"]["run_id"] == run


def test_a_wide_token_says_by_path_or_header_which_project_it_means(cast, run, fraud):
    wide = client_of(make_api_token(cast.alice, cast.acme).text)
    by_path = Tracking(wide, f"/mlflow/acme/fraud{PREFIX}")
    assert by_path.run_of(run)["info"]["run_id"] == run
    assert error(by_path.get("runs/get", run_id="0" * 32))[0] == 404
    churn = Tracking(wide, f"/mlflow/acme/churn{PREFIX}")
    assert error(churn.get("runs/get", run_id=run))[0] == 404
    header = {"headers": {"x-mlflow-workspace": "fraud"}}
    found = wide.get(f"{PREFIX}runs/get", {"run_id": run}, **header)
    assert found.status_code == 200
    status, code, message = error(Tracking(wide).get("runs/get", run_id=run))
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "several projects" in message


WORKSPACES = [
    ("that of another organization", "moonbase", 404),
    ("an unknown one", "nowhere", 404),
    ("another case", "Fraud", 404),
    ("a list", "fraud, fraud", 404),
    ("another of the organization", "churn", 404),
    ("its own", "fraud", 200),
]


@pytest.mark.parametrize(
    "_case,name,status", WORKSPACES, ids=[case for case, *_ in WORKSPACES]
)
def test_a_workspace_only_narrows(fraud, run, _case, name, status):
    for method, path, body in (
        ("get", "runs/get", {"run_id": run}),
        ("get", "experiments/get", {"experiment_id": "0"}),
    ):
        response = getattr(fraud.client, method)(
            PREFIX + path, body, headers={"x-mlflow-workspace": name}
        )
        assert response.status_code == status


def test_a_workspace_other_than_the_addresss_is_refused(fraud, run):
    address = f"/mlflow/acme/fraud{PREFIX}runs/get"
    headers = {"x-mlflow-workspace": "churn"}
    response = fraud.client.get(address, {"run_id": run}, headers=headers)
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")


PLACES = [
    "/mlflow/umbrella/fraud/",
    "/mlflow/Acme/fraud/",
    "/mlflow/acme/Fraud/",
    "/MLFLOW/acme/fraud/",
    "/mlflow/%61cme/../acme/fraud/",
    "/mlflow//fraud/",
    "/mlflow/acme/",
    "/mlflow/acme/../acme/fraud/",
    "/mlflow/nowhere/fraud/",
]


@pytest.mark.parametrize("place", PLACES)
def test_another_spelling_of_the_address_is_not_found(fraud, run, place):
    for path in ("runs/get", "experiments/get"):
        address = f"{place}api/2.0/mlflow/{path}"
        response = fraud.client.get(address, {"run_id": run, "experiment_id": "0"})
        assert response.status_code == 404

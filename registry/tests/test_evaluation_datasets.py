"""Evaluation datasets over MLflow's protocol: made, labelled, meant for experiments."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from django.db import IntegrityError, transaction

from audit.models import AuditLog
from registry.models import (
    EvaluationDataset,
    EvaluationDatasetExperiment,
    EvaluationDatasetTag,
    EvaluationRecord,
)
from registry.services.evaluation_datasets import restore_evaluation_dataset
from registry.tests.evaluating import (
    PREFIX,
    UNKNOWN,
    create,
    created,
    experiments,
    get,
    row,
    search,
    send,
    tags_of,
    upsert,
)
from registry.tests.evaluating import records as records_of
from registry.tests.factories import EvaluationDatasetFactory, ExperimentFactory
from registry.tests.protocol import (
    Tracking,
    absent,
    error,
    invalid,
    missing,
    read,
    statements,
    tracking_as,
)
from tenants.context import Actor, tenant_transaction
from tenants.tests.factories import (
    MembershipFactory,
    ProjectMemberFactory,
    UserFactory,
)
from tests.mounts import every_mount

DATASET_ID = re.compile(r"d-[0-9a-f]{32}")
# Tests run in a transaction of their own, so a request's is a savepoint of it.
SAVEPOINT = 2


@pytest.fixture
def fraud(fraud) -> Tracking:
    fraud.prefix = PREFIX
    return fraud


# Create and read


@every_mount
def test_a_created_dataset_answers_as_mlflow_does(cast, mount):
    tracking = tracking_as(cast.alice, cast.fraud)
    tracking.prefix = mount.url("")
    tracking.client.defaults.update(
        {f"HTTP_{n.upper().replace('-', '_')}": v for n, v in mount.headers.items()}
    )
    tags = {"team": "risk", "mlflow.user": "ann"}
    dataset = create(tracking, "questions", experiment_ids=["0"], tags=tags)
    dataset_id, moment = dataset["dataset_id"], dataset["created_time"]
    assert DATASET_ID.fullmatch(dataset_id)
    assert dataset == {
        "dataset_id": dataset_id,
        "name": "questions",
        "tags": '{"team": "risk", "mlflow.user": "ann"}',
        "digest": hashlib.sha256(f"questions:{moment}".encode()).hexdigest()[:8],
        "created_time": moment,
        "last_update_time": moment,
        "created_by": "ann",
        "last_updated_by": "ann",
        "experiment_ids": ["0"],
    }
    # Which experiments it is meant for is asked for by itself.
    del dataset["experiment_ids"]
    assert get(tracking, dataset_id) == dataset
    assert experiments(tracking, dataset_id) == ["0"]
    stored = row(dataset_id)
    assert (stored.organization_id, stored.project_id) == (cast.acme.pk, cast.fraud.pk)
    assert (stored.id.version, stored.created_by) == (7, cast.alice.pk)


def test_a_name_may_be_given_twice(fraud):
    assert created(fraud, "same") != created(fraud, "same")
    assert search(fraud) == ["same", "same"]


REFUSED = [
    ("no name", {}, missing("name")),
    ("empty name", {"name": ""}, missing("name")),
    (
        "long name",
        {"name": "n" * 256},
        invalid("'name' exceeds the maximum length of 255 characters"),
    ),
    (
        "tags that are no text",
        {"name": "n", "tags": {"a": "b"}},
        invalid(
            'Invalid value {"a":"b"} for parameter \'tags\' supplied:  Hint: Value '
            "was of type 'dict'. See the API docs for more information about request "
            "parameters."
        ),
    ),
    (
        "tags that are a number",
        {"name": "n", "tags": "5"},
        invalid(
            "Invalid value 5 for parameter 'tags' supplied: "
            "It must be a JSON object of texts by key."
        ),
    ),
    (
        "a long key",
        {"name": "n", "tags": json.dumps({"k" * 256: "v"})},
        invalid("'tags.key' exceeds the maximum length of 255 characters"),
    ),
    (
        "a long value",
        {"name": "n", "tags": json.dumps({"k": "v" * 5001})},
        invalid("'tags.value' exceeds the maximum length of 5000 characters"),
    ),
    (
        "a character that no text can hold",
        {"name": "n", "tags": json.dumps({"k": "\ud800"})},
        invalid("'tags' holds the character U+D800; leave it out."),
    ),
    (
        "a user that is a list",
        {"name": "n", "tags": json.dumps({"mlflow.user": "a\nb"})},
        invalid(
            "Invalid value \"a\\nb\" for parameter 'tags.mlflow.user' supplied: "
            "It holds control characters."
        ),
    ),
    (
        "an experiment that is not there",
        {"name": "n", "experiment_ids": ["0", "77"]},
        absent("No Experiment with id=77"),
    ),
    (
        "an experiment that can be none",
        {"name": "n", "experiment_ids": ["abc"]},
        absent("No Experiment with id=abc"),
    ),
]


@pytest.mark.parametrize("_case,body,expected", REFUSED)
def test_a_dataset_that_cannot_be_is_refused_and_not_stored(
    fraud, _case, body, expected
):
    assert error(fraud.post("datasets/create", **body)) == expected
    assert not EvaluationDataset._base_manager.exists()


def test_tags_that_are_no_json_are_refused(fraud):
    status, code, message = error(fraud.post("datasets/create", name="n", tags="{"))
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert message.startswith("'tags' is not valid JSON: ")


def test_an_experiment_that_is_named_twice_is_one(fraud):
    dataset = create(fraud, experiment_ids=["0", "0"])
    assert dataset["experiment_ids"] == ["0"]


@pytest.mark.parametrize("dataset_id", [UNKNOWN, "d-1", "0" * 32, "D-" + "0" * 32])
def test_an_id_of_nothing_is_not_found_in_mlflows_words(fraud, dataset_id):
    path = f"datasets/{dataset_id}"
    gone = absent(f"Evaluation dataset with id '{dataset_id}' not found")
    assert error(fraud.get(path)) == gone
    assert error(upsert(fraud, dataset_id, [{"inputs": {"a": 1}}])) == gone
    tagged = send(fraud, "PATCH", f"{path}/tags", tags="{}")
    assert error(tagged) == absent(
        f"Could not find evaluation dataset with ID {dataset_id}"
    )
    for verb in ("add", "remove"):
        response = fraud.post(f"{path}/{verb}-experiments", experiment_ids=["0"])
        assert error(response) == absent(f"Dataset '{dataset_id}' not found")


def test_what_mlflow_says_nothing_of_is_answered_for_nothing_too(fraud):
    path = f"datasets/{UNKNOWN}"
    assert read(send(fraud, "DELETE", path)) == {}
    assert read(send(fraud, "DELETE", f"{path}/tags/a")) == {}
    assert fraud.read(f"{path}/records") == {"records": "[]"}
    assert fraud.read(f"{path}/experiment-ids") == {}
    removed = send(fraud, "DELETE", f"{path}/records", dataset_record_ids=["dr-1"])
    assert read(removed) == {"deleted_count": 0}


# Tags


def test_tags_are_set_over_those_there_and_taken_off(fraud):
    before = create(fraud, tags={"team": "risk", "mlflow.user": "ann"})
    dataset_id = before["dataset_id"]
    tags = {"team": "ops", "number": 1, "is": True, "nothing": None}
    assert read(set_tags(fraud, dataset_id, tags)) == {}
    after = get(fraud, dataset_id)
    assert tags_of(after) == {
        "team": "ops",
        "mlflow.user": "ann",
        "number": "1",
        "is": "True",
    }
    # Labels are no change of the data.
    assert after["last_update_time"] == before["last_update_time"]
    assert after["digest"] == before["digest"]
    path = f"datasets/{dataset_id}/tags"
    for _ in range(2):
        assert read(send(fraud, "DELETE", f"{path}/number")) == {}
    assert "number" not in tags_of(get(fraud, dataset_id))


def set_tags(tracking, dataset_id, tags):
    path = f"datasets/{dataset_id}/tags"
    return send(tracking, "PATCH", path, tags=json.dumps(tags))


def test_tags_must_be_said(fraud):
    path = f"datasets/{created(fraud)}/tags"
    assert error(send(fraud, "PATCH", path, tags="")) == missing("tags")


# Experiments


def test_a_dataset_is_meant_for_more_experiments_and_for_fewer(fraud):
    one, two, three = (fraud.experiment(name) for name in ("one", "two", "three"))
    dataset_id = created(fraud, experiment_ids=[one])
    path = f"datasets/{dataset_id}"
    for _ in range(2):
        answer = fraud.ok(f"{path}/add-experiments", experiment_ids=[two, three])
        assert answer["dataset"]["dataset_id"] == dataset_id
        assert experiments(fraud, dataset_id) == [one, two, three]
    for _ in range(2):
        fraud.ok(f"{path}/remove-experiments", experiment_ids=[two, "999", "abc"])
        assert experiments(fraud, dataset_id) == [one, three]
    assert fraud.read(path)["dataset"]["name"] == "questions"


def test_an_experiment_that_is_not_there_adds_none(fraud):
    dataset_id = created(fraud)
    path = f"datasets/{dataset_id}/add-experiments"
    response = fraud.post(path, experiment_ids=["0", "77"])
    assert error(response) == absent("No Experiment with id=77")
    assert experiments(fraud, dataset_id) == []


def test_a_change_of_experiments_is_a_change_of_the_dataset_if_there_is_one(fraud):
    before = create(fraud)
    path = f"datasets/{before['dataset_id']}"
    EvaluationDataset._base_manager.update(updated_at="2024-01-01T00:00Z")
    old = get(fraud, before["dataset_id"])
    answer = fraud.ok(f"{path}/remove-experiments", experiment_ids=["0"])
    assert answer["dataset"] == old
    answer = fraud.ok(f"{path}/add-experiments", experiment_ids=["0"])
    assert answer["dataset"]["last_update_time"] > old["last_update_time"]
    assert answer["dataset"]["digest"] == old["digest"] == before["digest"]


def test_experiments_of_another_place_are_not_found(fraud, cast):
    for project in (cast.churn, cast.umbrella_fraud):
        number = str(ExperimentFactory(project=project).iid)
        response = fraud.post("datasets/create", name="n", experiment_ids=[number])
        assert error(response) == absent(f"No Experiment with id={number}")
        path = f"datasets/{created(fraud)}/add-experiments"
        response = fraud.post(path, experiment_ids=[number])
        assert error(response) == absent(f"No Experiment with id={number}")


def test_the_database_refuses_links_between_organizations(cast):
    dataset = EvaluationDatasetFactory(project=cast.fraud)
    theirs = ExperimentFactory(project=cast.umbrella_fraud)
    link = EvaluationDatasetExperiment(
        organization=cast.acme, dataset=dataset, experiment=theirs
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        link.save(force_insert=True)


# Delete


def test_a_deleted_dataset_is_gone_and_comes_back_whole(fraud, cast):
    dataset_id = created(fraud, experiment_ids=["0"], tags={"a": "b"})
    upsert(fraud, dataset_id, [{"inputs": {"q": 1}}])
    before = get(fraud, dataset_id)
    for _ in range(2):
        assert read(send(fraud, "DELETE", f"datasets/{dataset_id}")) == {}
    gone = absent(f"Evaluation dataset with id '{dataset_id}' not found")
    assert error(fraud.get(f"datasets/{dataset_id}")) == gone
    assert error(upsert(fraud, dataset_id, [{"inputs": {"q": 2}}])) == gone
    assert search(fraud, experiment_ids=["0"]) == search(fraud) == []
    assert (experiments(fraud, dataset_id), records_of(fraud, dataset_id)) == ([], [])
    actor = Actor(kind="command", label="test", organization_id=cast.acme.pk)
    with tenant_transaction(actor):
        restore_evaluation_dataset(row(dataset_id))
    assert get(fraud, dataset_id) == before
    assert [each["inputs"] for each in records_of(fraud, dataset_id)] == [{"q": 1}]


def test_only_who_made_it_or_maintains_the_project_deletes_a_dataset(fraud, cast):
    editor = UserFactory()
    MembershipFactory(organization=cast.acme, user=editor)
    ProjectMemberFactory(project=cast.fraud, user=editor, role="editor")
    as_editor = tracking_as(editor, cast.fraud)
    theirs, own = created(fraud), created(as_editor)
    refused = error(send(as_editor, "DELETE", f"datasets/{theirs}"))
    doing = "Deleting somebody else's evaluation dataset"
    assert refused == (
        403,
        "PERMISSION_DENIED",
        f"{doing} needs a maintainer of the project.",
    )
    assert read(send(as_editor, "DELETE", f"datasets/{own}")) == {}
    assert read(send(fraud, "DELETE", f"datasets/{theirs}")) == {}


# Strangers and readers


def requests_about(tracking, dataset_id):
    """Return the answers to everything that can be asked of one dataset."""
    path = f"datasets/{dataset_id}"
    read_only = [
        tracking.get(path),
        tracking.get(f"{path}/records"),
        tracking.get(f"{path}/experiment-ids"),
    ]
    writing = [
        send(tracking, "PATCH", f"{path}/tags", tags='{"a": "b"}'),
        send(tracking, "DELETE", f"{path}/tags/team"),
        upsert(tracking, dataset_id, [{"inputs": {"q": 1}}]),
        send(tracking, "DELETE", f"{path}/records", dataset_record_ids=["dr-1"]),
        tracking.post(f"{path}/add-experiments", experiment_ids=["0"]),
        tracking.post(f"{path}/remove-experiments", experiment_ids=["0"]),
        send(tracking, "DELETE", path),
    ]
    return read_only, writing


def test_a_stranger_meets_what_meets_who_asks_for_nothing(
    fraud, churn, stranger_in_fraud
):
    dataset_id = created(fraud, experiment_ids=["0"], tags={"team": "risk"})
    upsert(fraud, dataset_id, [{"inputs": {"q": 1}}])
    before = get(fraud, dataset_id), records_of(fraud, dataset_id)
    for stranger in (churn, stranger_in_fraud):
        about_it = [r for part in requests_about(stranger, dataset_id) for r in part]
        about_none = [r for part in requests_about(stranger, UNKNOWN) for r in part]
        for theirs, nobodys in zip(about_it, about_none, strict=True):
            shown = theirs.content.replace(dataset_id.encode(), UNKNOWN.encode())
            assert (theirs.status_code, shown) == (
                nobodys.status_code,
                nobodys.content,
            )
        assert search(stranger) == []
    assert (get(fraud, dataset_id), records_of(fraud, dataset_id)) == before
    assert experiments(fraud, dataset_id) == ["0"]


def test_a_reader_reads_and_changes_nothing(fraud, reader):
    dataset_id = created(fraud, tags={"team": "risk"})
    read_only, writing = requests_about(reader, dataset_id)
    assert {response.status_code for response in read_only} == {200}
    assert {response.status_code for response in writing} == {403}
    assert reader.post("datasets/create", name="n").status_code == 403
    assert search(reader) == ["questions"]
    assert tags_of(get(fraud, dataset_id)) == {"team": "risk"}


# What it costs, what it leaves


@pytest.mark.parametrize("number", [1, 5])
def test_requests_take_the_same_statements_for_any_number(fraud, number):
    asked = [fraud.experiment(f"e{n}") for n in range(number)]
    for n in range(number):
        tags = json.dumps({f"k{m}": "v" for m in range(number)})
        body = {"name": f"d{n}", "experiment_ids": asked, "tags": tags}
        response = fraud.post("datasets/create", **body)
        # Admission; experiments; a savepoint; how many datasets there are; dataset;
        # room for tags, tags; room for links, links; the tags.
        assert statements(response) == 11 + 2 * SAVEPOINT
    dataset_id = response.json()["dataset"]["dataset_id"]
    # Admission; dataset; tags.
    assert statements(fraud.get(f"datasets/{dataset_id}")) == 3 + SAVEPOINT
    found = fraud.post("datasets/search", experiment_ids=asked)
    assert len(found.json()["datasets"]) == number
    assert statements(found) == 3 + SAVEPOINT
    listed = fraud.get(f"datasets/{dataset_id}/experiment-ids")
    assert statements(listed) == 3 + SAVEPOINT


def test_changes_of_a_dataset_leave_entries_without_names(fraud, cast):
    dataset_id = created(fraud, experiment_ids=["0"], tags={"mlflow.user": "ann"})
    upsert(fraud, dataset_id, [{"inputs": {"secret": "inside"}}])
    fraud.ok(f"datasets/{dataset_id}/remove-experiments", experiment_ids=["0"])
    send(fraud, "DELETE", f"datasets/{dataset_id}")
    entries = AuditLog._base_manager.filter(organization_id=cast.acme.pk)
    actions = [
        entry.action
        for entry in entries.order_by("pk")
        if entry.action.startswith("registry.evaluation")
    ]
    assert actions == [
        "registry.evaluation_dataset.created",
        "registry.evaluation_dataset_tag.created",
        "registry.evaluation_dataset_experiment.created",
        "registry.evaluation_dataset.updated",
        "registry.evaluation_dataset_experiment.deleted",
        "registry.evaluation_dataset.soft_deleted",
    ]
    about = entries.filter(action__startswith="registry.evaluation_dataset.")
    text = str([(entry.before, entry.after) for entry in about])
    assert "ann" not in text
    assert "inside" not in text


def test_limits_of_a_dataset_are_told_with_their_setting(fraud, settings):
    settings.OBJECT_LIMITS = dict.fromkeys(settings.OBJECT_LIMITS, 2)
    dataset_id = created(fraud, "one", experiment_ids=["0"], tags={"a": "1", "b": "2"})
    owner = f"Evaluation dataset {dataset_id}"
    full = error(set_tags(fraud, dataset_id, {"a": "3", "c": "4"}))
    assert full[:2] == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert full[2].startswith(f"{owner} has 2 tags; 1 more would exceed the limit of 2")
    more = error(upsert(fraud, dataset_id, [{"inputs": {"n": n}} for n in range(3)]))
    assert more[:2] == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert more[2].startswith(f"{owner} has 0 records; 3 more would exceed the limit")
    assert more[2].endswith("(LIMIT_EVALUATION_DATASET_RECORDS).")
    created(fraud, "two")
    third = error(fraud.post("datasets/create", name="three"))
    assert third[:2] == (400, "RESOURCE_LIMIT_EXCEEDED")
    assert "(LIMIT_PROJECT_EVALUATION_DATASETS)" in third[2]
    assert EvaluationRecord._base_manager.count() == 0
    assert EvaluationDatasetTag._base_manager.count() == 2


# REST


def test_rest_lists_datasets_by_filter_and_shows_one(fraud, alice, bob, mallory):
    made = create(fraud, "night", experiment_ids=["0"], tags={"team": "risk"})
    created(fraud, "day")
    upsert(fraud, made["dataset_id"], [{"inputs": {"q": "why?"}}])
    address = "/api/v1/organizations/acme/projects/fraud/evaluation-datasets/"
    asked = {"filter": "tags.team = 'risk'", "order_by": "name"}
    (found,) = read(bob.get(address, asked))["results"]
    assert found["dataset_id"] == made["dataset_id"]
    assert (found["record_count"], found["experiments"]) == (1, [0])
    assert found["tags"] == {"team": "risk"}
    assert found["schema"]["inputs"] == {"q": "string"}
    assert read(alice.get(f"{address}{found['id']}/")) == found
    names = [each["name"] for each in read(alice.get(address))["results"]]
    assert names == ["day", "night"]
    assert mallory.get(address).status_code == 404
    theirs = address.replace("acme", "umbrella")
    assert mallory.get(f"{theirs}{found['id']}/").status_code == 404

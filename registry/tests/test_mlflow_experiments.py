from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from registry.models import Experiment, ExperimentTag, Run
from registry.services import experiments as services
from registry.tests.factories import ExperimentFactory, RunFactory
from registry.tests.protocol import (
    PREFIX,
    absent,
    error,
    invalid,
    missing,
    mistyped,
    statements,
)
from registry.tests.test_history import refused
from tenants.context import Actor, tenant_transaction


def taken(name):
    return 400, "RESOURCE_ALREADY_EXISTS", f"Experiment(name={name}) already exists."


def gone(iid):
    return absent(f"No Experiment with id={iid} exists")


def stored(name):
    return Experiment._base_manager.get(name=name)


def names(answer):
    return [each["name"] for each in answer.get("experiments", [])]


# Create and get


def test_an_experiment_is_made_and_shown(fraud, cast):
    tags = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "b"}]
    answer = fraud.ok("experiments/create", name="Größe 損失", tags=tags)
    assert answer == {"experiment_id": "1"}
    row = stored("Größe 損失")
    assert (row.project_id, row.created_by) == (cast.fraud.pk, cast.alice.pk)
    shown = fraud.read("experiments/get", experiment_id="1")["experiment"]
    made = round(row.created_at.timestamp() * 1000 - 0.5)
    assert shown == {
        "experiment_id": "1",
        "name": "Größe 損失",
        "artifact_location": "mlflow-artifacts:/1",
        "lifecycle_stage": "active",
        "creation_time": pytest.approx(made, abs=1),
        "last_update_time": pytest.approx(made, abs=1),
        "tags": [{"key": "a", "value": "2"}, {"key": "b", "value": ""}],
    }
    by_name = fraud.read("experiments/get-by-name", experiment_name="Größe 損失")
    assert by_name == {"experiment": shown}


def test_every_project_begins_with_the_default_experiment(fraud, churn):
    for client in (fraud, churn):
        shown = client.read("experiments/get", experiment_id="0")["experiment"]
        assert shown["name"] == "Default"
        assert shown["artifact_location"] == "mlflow-artifacts:/0"
        assert "tags" not in shown


def test_experiments_are_numbered_per_project(fraud, churn, stranger_in_fraud):
    made = [
        client.experiment(f"e{i}")
        for i, client in enumerate((fraud, fraud, churn, stranger_in_fraud, fraud))
    ]
    assert made == ["1", "2", "1", "1", "3"]


def test_a_name_belongs_to_its_project(fraud, churn, stranger_in_fraud):
    assert {client.experiment("trees") for client in (fraud, churn)} == {"1"}
    assert stranger_in_fraud.experiment("trees") == "1"


def test_a_name_is_taken_once_deleted_ones_included(fraud):
    experiment = fraud.experiment("trees")
    assert error(fraud.post("experiments/create", name="trees")) == taken("trees")
    fraud.ok("experiments/delete", experiment_id=experiment)
    assert error(fraud.post("experiments/create", name="trees")) == taken("trees")
    assert fraud.experiment("other") == "2"


def test_a_name_that_is_taken_meanwhile_is_taken(fraud, monkeypatch):
    fraud.experiment("trees")
    monkeypatch.setattr(services, "refuse_taken", lambda project, name: None)
    assert error(fraud.post("experiments/create", name="trees")) == taken("trees")
    other = fraud.experiment("other")
    response = fraud.post("experiments/update", experiment_id=other, new_name="trees")
    assert error(response) == taken("trees")


def test_an_experiment_may_keep_its_artifacts_where_it_is_allowed(fraud, settings):
    settings.ARTIFACT_LOCATIONS = ["acme=s3://bucket"]
    number = fraud.experiment(artifact_location="s3://bucket/path")
    shown = fraud.read("experiments/get", experiment_id=number)["experiment"]
    assert shown["artifact_location"] == "s3://bucket/path"


REFUSED = [
    ("no name", {"name": None}, missing("name")),
    ("an empty name", {"name": ""}, missing("name")),
    (
        "a name that is no text",
        {"name": 5},
        mistyped("5", "name", "int"),
    ),
    (
        "a long name",
        {"name": "n" * 501},
        invalid("'name' exceeds the maximum length of 500 characters"),
    ),
    (
        "a name of a megabyte",
        {"name": "n" * 1_000_000},
        invalid("'name' exceeds the maximum length of 500 characters"),
    ),
    (
        "a name that cannot be seen",
        {"name": "a\u0007b"},
        invalid(
            "Invalid value \"a\\u0007b\" for parameter 'name' supplied: "
            "It holds control characters."
        ),
    ),
    (
        "a location with a fragment",
        {"artifact_location": "s3://b/c#f"},
        invalid("'artifact_location' URL can't include fragments or params."),
    ),
    (
        "a location with a query",
        {"artifact_location": "s3://b/c?f=1"},
        invalid("'artifact_location' URL can't include fragments or params."),
    ),
    (
        "a location of a run",
        {"artifact_location": "runs:/x"},
        invalid("Artifact location cannot be a runs:/ URI. Given: 'runs:/x'"),
    ),
    (
        "a long location",
        {"artifact_location": "s3://" + "b" * 2044},
        invalid(
            "Invalid artifact path length. The length of the artifact path cannot be "
            "greater than 2048 characters."
        ),
    ),
    (
        "tags that are no list",
        {"tags": "a"},
        mistyped('"a"', "tags", "str"),
    ),
    ("a tag without key", {"tags": [{"value": "a"}]}, missing("tags[0].key")),
    (
        "a tag with a long key",
        {"tags": [{"key": "k" * 251}]},
        invalid("'key' exceeds the maximum length of 250 characters"),
    ),
    (
        "a long tag",
        {"tags": [{"key": "k", "value": "v" * 20_001}]},
        invalid("'value' exceeds the maximum length of 20000 characters"),
    ),
]


@pytest.mark.parametrize(
    "_case,change,expected", REFUSED, ids=[case for case, *_ in REFUSED]
)
def test_a_wrong_experiment_is_refused_and_takes_no_number(
    fraud, _case, change, expected
):
    body = {"name": "wrong", **change}
    assert error(fraud.post("experiments/create", **body)) == expected
    assert fraud.experiment("right") == "1"


def test_names_and_tags_are_kept_up_to_their_limits(fraud):
    tags = [{"key": "k" * 250, "value": "v" * 20_000}]
    number = fraud.experiment("n" * 500, tags=tags)
    shown = fraud.read("experiments/get", experiment_id=number)["experiment"]
    assert (shown["name"], shown["tags"]) == ("n" * 500, tags)


ABSENT = [
    ("99", gone("99")),
    ("-1", gone("-1")),
    ("9" * 30, gone("9" * 30)),
    (
        "abc",
        invalid("Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
    ),
    (
        "1_0",
        invalid("Invalid experiment ID '1_0'. Experiment ID must be a valid integer."),
    ),
    ("١", invalid("Invalid experiment ID '١'. Experiment ID must be a valid integer.")),
    (
        "1.0",
        invalid("Invalid experiment ID '1.0'. Experiment ID must be a valid integer."),
    ),
    ("", missing("experiment_id")),
]


@pytest.mark.parametrize("number,expected", ABSENT)
def test_what_is_no_experiment_is_told_in_mlflows_words(fraud, number, expected):
    assert error(fraud.get("experiments/get", experiment_id=number)) == expected
    for path, body in WRITES:
        assert error(fraud.post(path, experiment_id=number, **body)) == expected


def test_an_unknown_name_is_told_in_mlflows_words(fraud):
    response = fraud.get("experiments/get-by-name", experiment_name="zz")
    assert error(response) == absent("Could not find experiment with name 'zz'")
    assert error(fraud.get("experiments/get-by-name")) == missing("experiment_name")


# Update


def test_a_rename_is_seen_and_dated(fraud):
    number = fraud.experiment("trees")
    before = fraud.read("experiments/get", experiment_id=number)["experiment"]
    old = timezone.now() - timedelta(days=1)
    Experiment._base_manager.update(created_at=old, updated_at=old)
    assert fraud.ok("experiments/update", experiment_id=number, new_name="new") == {}
    after = fraud.read("experiments/get", experiment_id=number)["experiment"]
    assert after["name"] == "new"
    assert after["last_update_time"] >= before["last_update_time"]
    assert after["creation_time"] < before["creation_time"]


def test_a_rename_to_its_own_name_is_fine(fraud):
    number = fraud.experiment("trees")
    fraud.ok("experiments/update", experiment_id=number, new_name="trees")


def test_a_rename_to_a_name_that_is_taken_is_refused(fraud):
    number = fraud.experiment("trees")
    for name, expected in (
        ("Default", taken("Default")),
        ("", missing("new_name")),
        (None, missing("new_name")),
    ):
        body = {"experiment_id": number, "new_name": name}
        assert error(fraud.post("experiments/update", **body)) == expected


def test_a_deleted_experiment_keeps_its_name(fraud):
    number = fraud.experiment("trees")
    fraud.ok("experiments/delete", experiment_id=number)
    response = fraud.post("experiments/update", experiment_id=number, new_name="new")
    message = "Cannot rename a non-active experiment."
    assert error(response) == (400, "INVALID_STATE", message)


# Delete and restore


def lives(experiment):
    runs = Run._base_manager.filter(experiment=experiment)
    return {run.name: run.deleted_at is None for run in runs}


@pytest.fixture
def trees(fraud, cast):
    """An experiment with two live runs and one deleted before."""
    number = fraud.experiment("trees")
    row = stored("trees")
    for name in ("one", "two", "early"):
        RunFactory(experiment=row, name=name)
    early = Run._base_manager.get(name="early")
    fraud.ok("runs/delete", run_id=early.pk.hex)
    return number, row


def test_delete_takes_the_live_runs_along_in_one_batch(fraud, trees):
    number, row = trees
    assert fraud.ok("experiments/delete", experiment_id=number) == {}
    row.refresh_from_db(from_queryset=Experiment._base_manager.all())
    batches = {
        run.name: run.delete_batch == row.delete_batch
        for run in Run._base_manager.filter(experiment=row)
    }
    assert batches == {"one": True, "two": True, "early": False}
    assert lives(row) == {"one": False, "two": False, "early": False}
    shown = fraud.read("experiments/get", experiment_id=number)["experiment"]
    assert shown["lifecycle_stage"] == "deleted"
    assert fraud.read("experiments/get-by-name", experiment_name="trees") == {
        "experiment": shown
    }


def test_restore_over_mlflow_brings_back_all_runs(fraud, trees):
    number, row = trees
    fraud.ok("experiments/delete", experiment_id=number)
    assert fraud.ok("experiments/restore", experiment_id=number) == {}
    assert lives(row) == {"one": True, "two": True, "early": True}


def test_restore_elsewhere_brings_back_what_went_along(cast, fraud, trees):
    number, row = trees
    fraud.ok("experiments/delete", experiment_id=number)
    actor = Actor(
        kind="user",
        id=cast.alice.pk,
        organization_id=cast.acme.pk,
        roles=frozenset({"maintainer"}),
    )
    with tenant_transaction(actor):
        services.restore_experiment(Experiment.objects.with_deleted().get(pk=row.pk))
    assert lives(row) == {"one": True, "two": True, "early": False}


def test_delete_of_a_deleted_and_restore_of_a_live_one_find_none(fraud, trees):
    number, _ = trees
    body = {"experiment_id": number}
    assert error(fraud.post("experiments/restore", **body)) == gone(number)
    fraud.ok("experiments/delete", **body)
    assert error(fraud.post("experiments/delete", **body)) == gone(number)


def test_delete_takes_the_same_statements_however_many_runs(fraud, cast):
    deletions, restorations = set(), set()
    for runs in (1, 20, 200):
        experiment = ExperimentFactory(project=cast.fraud)
        RunFactory.create_batch(runs, experiment=experiment)
        body = {"experiment_id": str(experiment.iid)}
        deletions.add(statements(fraud.post("experiments/delete", **body)))
        restorations.add(statements(fraud.post("experiments/restore", **body)))
    assert len(deletions) == len(restorations) == 1


# Tags


def test_a_tag_is_set_replaced_and_deleted(fraud):
    for value in ("1", "2"):
        body = {"experiment_id": "0", "key": "k", "value": value}
        assert fraud.ok("experiments/set-experiment-tag", **body) == {}
    shown = fraud.read("experiments/get", experiment_id="0")["experiment"]
    assert shown["tags"] == [{"key": "k", "value": "2"}]
    body = {"experiment_id": "0", "key": "k"}
    assert fraud.ok("experiments/delete-experiment-tag", **body) == {}
    assert error(fraud.post("experiments/delete-experiment-tag", **body)) == absent(
        "No tag with name: k in experiment with id 0"
    )
    assert ExperimentTag._base_manager.count() == 0


@pytest.mark.parametrize(
    "body,expected",
    [
        ({"key": ""}, missing("key")),
        (
            {"key": "k" * 251},
            invalid("'key' exceeds the maximum length of 250 characters"),
        ),
        (
            {"key": "k", "value": "v" * 20_001},
            invalid("'value' exceeds the maximum length of 20000 characters"),
        ),
        (
            {"key": "k%"},
            invalid(
                "Invalid value \"k%\" for parameter 'key' supplied: Names may only "
                "contain alphanumerics, underscores (_), dashes (-), periods (.), "
                "spaces ( ), colon(:) and slashes (/)."
            ),
        ),
    ],
)
def test_a_wrong_tag_is_refused(fraud, body, expected):
    response = fraud.post("experiments/set-experiment-tag", experiment_id="0", **body)
    assert error(response) == expected


def test_a_deleted_experiment_takes_no_tag(fraud):
    number = fraud.experiment()
    fraud.ok("experiments/delete", experiment_id=number)
    for path in ("set-experiment-tag", "delete-experiment-tag"):
        response = fraud.post(f"experiments/{path}", experiment_id=number, key="k")
        assert error(response) == invalid(
            f"The experiment {number} must be in the 'active' state. "
            "Current state is deleted."
        )


# Search


@pytest.fixture
def several(cast):
    """Five experiments beside Default, later ones newer; one of them deleted."""
    start = timezone.now() + timedelta(days=1)
    for number, name in enumerate(("oak", "ash", "fir", "elm", "yew"), start=10):
        experiment = ExperimentFactory(project=cast.fraud, name=name, iid=number)
        moment = start + timedelta(microseconds=number)
        Experiment._base_manager.filter(pk=experiment.pk).update(
            created_at=moment, updated_at=start - timedelta(seconds=number)
        )
    Experiment._base_manager.filter(name="fir").update(deleted_at=start)


ORDERS = [
    (None, ["yew", "elm", "ash", "oak", "Default"]),
    ([], ["yew", "elm", "ash", "oak", "Default"]),
    (["creation_time"], ["Default", "oak", "ash", "elm", "yew"]),
    (["creation_time ASC"], ["Default", "oak", "ash", "elm", "yew"]),
    (["attribute.creation_time desc"], ["yew", "elm", "ash", "oak", "Default"]),
    (["experiment_id"], ["Default", "oak", "ash", "elm", "yew"]),
    (["experiment_id DESC", "name"], ["yew", "elm", "ash", "oak", "Default"]),
    (["last_update_time DESC"], ["oak", "ash", "elm", "yew", "Default"]),
    (["`last_update_time` asc"], ["Default", "yew", "elm", "ash", "oak"]),
    (["name", "name DESC"], ["ash", "Default", "elm", "oak", "yew"]),
]


@pytest.mark.parametrize("order,expected", ORDERS)
@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_a_search_comes_in_the_order_asked_for(fraud, several, order, expected, size):
    found, token = [], ""
    while token is not None:
        answer = fraud.ok(
            "experiments/search", max_results=size, order_by=order, page_token=token
        )
        assert len(names(answer)) <= size
        found.append(names(answer))
        token = answer.get("next_page_token")
    assert len(found) == -(-5 // size)
    listed = list(itertools.chain(*found))
    if order and order[0] == "name":
        with connection.cursor() as cursor:
            # The database knows its own collation.
            cursor.execute("SELECT unnest(%s::text[]) ORDER BY 1", [expected])
            expected = [name for (name,) in cursor.fetchall()]
    assert listed == expected


@pytest.mark.parametrize(
    "view,expected",
    [
        (None, {"Default", "oak", "ash", "elm", "yew"}),
        ("ACTIVE_ONLY", {"Default", "oak", "ash", "elm", "yew"}),
        ("DELETED_ONLY", {"fir"}),
        ("ALL", {"Default", "oak", "ash", "elm", "yew", "fir"}),
        (3, {"Default", "oak", "ash", "elm", "yew", "fir"}),
        ("2", {"fir"}),
        ("FOO", {"Default", "oak", "ash", "elm", "yew"}),
    ],
)
def test_a_view_says_which_experiments_are_meant(fraud, several, view, expected):
    answer = fraud.ok("experiments/search", max_results=50, view_type=view)
    assert set(names(answer)) == expected


def test_a_search_may_come_by_get(fraud, several):
    address = f"{PREFIX}experiments/search?max_results=2&order_by=name%20DESC"
    address += "&order_by=experiment_id&view_type=ALL&filter="
    answer = fraud.client.get(address).json()
    assert names(answer) == ["yew", "oak"]
    address += f"&page_token={answer['next_page_token']}"
    assert names(fraud.client.get(address).json())[0] in ("fir", "elm")


def test_a_search_that_finds_nothing_is_empty(fraud):
    answer = fraud.ok("experiments/search", max_results=1, view_type="DELETED_ONLY")
    assert answer == {}


WRONG_SEARCHES = [
    (
        "no size",
        {"max_results": None},
        invalid(
            "Invalid value 0 for parameter 'max_results' supplied. "
            "It must be a positive integer"
        ),
    ),
    (
        "fewer than none",
        {"max_results": -1},
        invalid(
            "Invalid value -1 for parameter 'max_results' supplied. "
            "It must be a positive integer"
        ),
    ),
    (
        "too many",
        {"max_results": 50_001},
        invalid(
            "Invalid value 50001 for parameter 'max_results' supplied. "
            "It must be at most 50000"
        ),
    ),
    (
        "a size that is no number",
        {"max_results": "abc"},
        mistyped('"abc"', "max_results", "str"),
    ),
    (
        "an unknown key",
        {"order_by": ["foo"]},
        invalid(
            "Invalid attribute key 'foo' specified. Valid keys are '['creation_time', "
            "'experiment_id', 'last_update_time', 'name']' "
            "(at position 1 of order_by clause 1)"
        ),
    ),
    (
        "two keys in one clause",
        {"order_by": ["creation_time ASC, name"]},
        invalid(
            "Invalid order_by clause 'creation_time ASC, name'. Could not be parsed. "
            "(at position 18 of order_by clause 1)"
        ),
    ),
    (
        "a thousand clauses",
        {"order_by": ["name"] * 1000},
        invalid("'order_by' has 1000 clauses; use at most 20."),
    ),
    (
        "a wrong filter",
        {"filter": "name = 'a' OR name = 'b'"},
        invalid("Invalid clause(s) in filter string: 'OR' (at position 12)"),
    ),
]


@pytest.mark.parametrize(
    "_case,change,expected", WRONG_SEARCHES, ids=[case for case, *_ in WRONG_SEARCHES]
)
def test_a_wrong_search_is_refused(fraud, _case, change, expected):
    body = {"max_results": 5, **change}
    assert error(fraud.post("experiments/search", **body)) == expected


def test_a_token_opens_its_own_search_only(fraud, several, churn, stranger_in_fraud):
    body = {"max_results": 1}
    token = fraud.ok("experiments/search", **body)["next_page_token"]
    body["page_token"] = token
    assert names(fraud.ok("experiments/search", **body)) == ["elm"]
    for other in (churn, stranger_in_fraud):
        assert refused(other.post("experiments/search", **body))
    changes = (
        {"view_type": "ALL"},
        {"order_by": ["name"]},
        {"filter": "name != 'x'"},
        {"page_token": "junk"},
    )
    for change in changes:
        assert refused(fraud.post("experiments/search", **{**body, **change}))


def test_a_search_takes_the_same_statements_however_much_it_finds(fraud, cast):
    counts = set()
    for count in (1, 20, 200):
        for experiment in ExperimentFactory.create_batch(count, project=cast.fraud):
            ExperimentTag(
                organization=cast.acme, experiment=experiment, key="k", value="v"
            ).save()
        response = fraud.post("experiments/search", max_results=1000)
        assert len(response.json()["experiments"]) > count
        counts.add(statements(response))
    # savepoint, admission, experiments, tags, release
    assert counts == {5}


# Who may


WRITES = [
    ("experiments/update", {"new_name": "n"}),
    ("experiments/delete", {}),
    ("experiments/restore", {}),
    ("experiments/set-experiment-tag", {"key": "k", "value": "v"}),
    ("experiments/delete-experiment-tag", {"key": "k"}),
]


@pytest.mark.parametrize("path,body", WRITES)
def test_a_foreign_experiment_is_absent_for_whoever_would_change_it(
    fraud, stranger_in_fraud, churn, path, body
):
    number = fraud.experiment("ours")
    for other in (stranger_in_fraud, churn):
        response = other.post(path, experiment_id=number, **body)
        unknown = other.post(path, experiment_id="4711", **body)
        assert error(response) == gone(number)
        assert response.content == unknown.content.replace(b"4711", number.encode())
    row = stored("ours")
    assert row.deleted_at is None


def test_a_foreign_experiment_is_absent_for_mallory(fraud, stranger_in_fraud, churn):
    number = fraud.experiment("ours")
    for other in (stranger_in_fraud, churn):
        response = other.get("experiments/get", experiment_id=number)
        unknown = other.get("experiments/get", experiment_id="4711")
        assert error(response) == gone(number)
        assert response.content == unknown.content.replace(b"4711", number.encode())
        response = other.get("experiments/get-by-name", experiment_name="ours")
        expected = absent("Could not find experiment with name 'ours'")
        assert error(response) == expected
        found = other.ok("experiments/search", max_results=10, view_type="ALL")
        assert names(found) == ["Default"]


@pytest.mark.parametrize("path,body", [*WRITES, ("experiments/create", {"name": "n"})])
def test_a_reader_may_read_and_change_nothing(fraud, reader, path, body):
    number = fraud.experiment("ours")
    shown = reader.read("experiments/get", experiment_id=number)["experiment"]
    assert shown["name"] == "ours"
    if path != "experiments/create":
        body = {"experiment_id": number, **body}
    assert error(reader.post(path, **body))[:2] == (403, "PERMISSION_DENIED")

"""Evaluation datasets by the unmodified client: made, filled, found, used, deleted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.genai import datasets
from mlflow.tracking import MlflowClient

from tests.e2e.running import Platform, Tenant

pytestmark = pytest.mark.e2e
QUESTIONS: list[dict[str, Any]] = [
    {
        "inputs": {"question": "What is MLflow?", "context": ["docs", 1]},
        "expectations": {"answer": "a platform", "score": 0.5},
        "tags": {"level": "easy"},
    },
    {"inputs": {"question": "Why?", "context": []}, "outputs": {"answer": "so"}},
]


@pytest.fixture(scope="module", params=["token", "path"])
def client(platform: Platform, request) -> Iterator[MlflowClient]:
    """Be in a project of one's own, by the way that the mount is."""
    with platform.make_tenant().client(request.param) as client:
        yield client


def named(experiments: int = 1, **tags: str) -> tuple[Any, list[str]]:
    """Make a dataset for experiments of its own."""
    keys = [
        mlflow.create_experiment(f"evaluated-{uuid4().hex}") for _ in range(experiments)
    ]
    name = f"questions-{uuid4().hex}"
    return datasets.create_dataset(name=name, experiment_id=keys, tags=tags), keys


def test_a_dataset_is_made_and_found_again(client: MlflowClient) -> None:
    dataset, keys = named(2, team="risk")
    found = datasets.get_dataset(dataset_id=dataset.dataset_id)
    assert (found.name, found.digest) == (dataset.name, dataset.digest)
    assert sorted(found.experiment_ids) == sorted(keys)
    assert found.tags["team"] == "risk"
    assert found.created_by == found.tags["mlflow.user"]
    assert datasets.get_dataset(name=dataset.name).dataset_id == dataset.dataset_id
    listed = datasets.search_datasets(experiment_ids=keys[0])
    assert [each.dataset_id for each in listed] == [dataset.dataset_id]


def test_records_are_merged_and_read_as_a_table(client: MlflowClient) -> None:
    dataset, _ = named()
    before = dataset.digest
    dataset.merge_records(QUESTIONS)
    again = {"inputs": QUESTIONS[0]["inputs"], "expectations": {"score": 1.0}}
    dataset.merge_records([again])
    # Not all clients look at it again by themselves.
    dataset = datasets.get_dataset(dataset_id=dataset.dataset_id)
    assert dataset.digest != before
    assert json.loads(dataset.profile) == {"num_records": 2}
    table = dataset.to_df()
    assert [row["question"] for row in table["inputs"]] == ["What is MLflow?", "Why?"]
    assert table["inputs"][0]["context"] == ["docs", 1]
    assert table["expectations"][0] == {"answer": "a platform", "score": 1.0}
    assert table["outputs"][1] == {"answer": "so"}
    assert table["tags"][0]["level"] == "easy"
    assert table["source_type"][0] == "HUMAN"
    assert json.loads(dataset.schema)["inputs"] == {
        "question": "string",
        "context": "array",
    }


def test_a_table_of_thousands_comes_back_whole(client: MlflowClient) -> None:
    dataset, _ = named()
    numbers = range(2500)
    table = pd.DataFrame(
        {
            "inputs": [{"number": n} for n in numbers],
            "expectations": [{"half": n / 2 if n else math.nan} for n in numbers],
        }
    )
    dataset.merge_records(table)
    found = datasets.get_dataset(dataset_id=dataset.dataset_id).to_df()
    assert [row["number"] for row in found["inputs"]] == list(numbers)
    halves = [row["half"] for row in found["expectations"]]
    assert math.isnan(halves[0])
    assert halves[1:] == [n / 2 for n in numbers[1:]]


def test_records_are_deleted_by_their_ids(client: MlflowClient) -> None:
    dataset, _ = named()
    dataset.merge_records(QUESTIONS)
    found = client.get_dataset(dataset.dataset_id)
    keys = [record.dataset_record_id for record in found.records]
    assert found.delete_records([keys[0]]) == 1
    left = client.get_dataset(dataset.dataset_id).records
    assert [record.dataset_record_id for record in left] == [keys[1]]


def test_datasets_are_searched_in_order_and_in_pages(client: MlflowClient) -> None:
    team = uuid4().hex
    made = [
        datasets.create_dataset(name=f"{team}-{n}", experiment_id="0", tags={"t": team})
        for n in range(5)
    ]
    asked: dict[str, Any] = {
        "filter_string": f"tags.t = '{team}'",
        "order_by": ["name DESC"],
    }
    names = [each.name for each in reversed(made)]
    assert [each.name for each in datasets.search_datasets(**asked)] == names
    found, token = [], None
    while True:
        page = client.search_datasets(**asked, max_results=2, page_token=token)
        found += [each.name for each in page]
        if not (token := page.token):
            break
    assert found == names


def test_tags_and_experiments_change(client: MlflowClient) -> None:
    dataset, keys = named(1, team="risk")
    more = mlflow.create_experiment(f"more-{uuid4().hex}")
    dataset_id = dataset.dataset_id
    changed = datasets.add_dataset_to_experiments(dataset_id, [more])
    assert sorted(changed.experiment_ids) == sorted([*keys, more])
    changed = datasets.remove_dataset_from_experiments(dataset_id, keys)
    assert changed.experiment_ids == [more]
    datasets.set_dataset_tags(dataset_id=dataset_id, tags={"team": "ops", "n": "1"})
    datasets.delete_dataset_tag(dataset_id=dataset_id, key="n")
    tags = datasets.get_dataset(dataset_id=dataset_id).tags
    assert (tags["team"], "n" in tags) == ("ops", False)


def test_a_run_says_which_dataset_it_used(client: MlflowClient) -> None:
    dataset, keys = named()
    dataset.merge_records(QUESTIONS)
    with mlflow.start_run(experiment_id=keys[0]) as run:
        mlflow.log_input(dataset, context="evaluation")
    inputs = client.get_run(run.info.run_id).inputs
    assert inputs
    (used,) = inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == (dataset.name, dataset.digest)
    assert dataset.dataset_id in used.dataset.source


def test_a_deleted_dataset_is_not_found(client: MlflowClient) -> None:
    dataset, keys = named()
    for _ in range(2):
        datasets.delete_dataset(dataset_id=dataset.dataset_id)
    with pytest.raises(MlflowException, match="not found"):
        datasets.get_dataset(dataset_id=dataset.dataset_id)
    assert list(datasets.search_datasets(experiment_ids=keys)) == []


def test_another_tenant_finds_nothing_of_it(
    platform: Platform, stranger: Tenant
) -> None:
    with platform.make_tenant().client():
        dataset, _ = named(1, team="risk")
        dataset.merge_records(QUESTIONS)
    with stranger.client() as client:
        with pytest.raises(MlflowException, match="not found"):
            client.get_dataset(dataset.dataset_id)
        with pytest.raises(MlflowException, match="not found"):
            datasets.add_dataset_to_experiments(dataset.dataset_id, ["0"])
        datasets.delete_dataset(dataset_id=dataset.dataset_id)
        assert list(datasets.search_datasets()) == []

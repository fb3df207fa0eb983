"""Evaluation datasets in the admin: found, shown with what they hold, restored."""

from __future__ import annotations

import json

import pytest

from registry import models
from registry.tests.factories import (
    EvaluationDatasetFactory,
    EvaluationRecordFactory,
    ExperimentFactory,
)
from tenants.tests.superuser import (
    AdminClient,
    page_of,
    rows_of,
    shown,
    superuser,
)


@pytest.fixture
def root(db) -> AdminClient:
    return superuser()


def make(project, name="night", **more):
    """Store a dataset with a tag, a record and an experiment."""
    schema = {"inputs": {"question": "string"}, "outputs": "array", "expectations": {}}
    dataset = EvaluationDatasetFactory(
        project=project,
        name=name,
        record_count=1,
        schema=json.dumps(schema),
        creator_name="ann",
        **more,
    )
    own = {"organization": project.organization, "dataset": dataset}
    models.EvaluationDatasetTag(key="team", value="risk", **own).save()
    experiment = ExperimentFactory(project=project, name=f"trees of {name}")
    models.EvaluationDatasetExperiment(experiment=experiment, **own).save()
    EvaluationRecordFactory(
        dataset=dataset,
        inputs='{"question": "<b>why?</b>"}',
        expectations='{"answer": "so"}',
        size_bytes=42,
    )
    return dataset


def test_a_dataset_shows_what_it_holds(root, cast):
    dataset = make(cast.fraud)
    page = shown(root.get(page_of(dataset)))
    for text in (dataset.dataset_id, "trees of night", "risk", "ann", "question"):
        assert text in page
    assert "&lt;b&gt;why?&lt;/b&gt;" in page
    assert "<b>why?" not in page


def test_a_record_shows_all_of_its_parts(root, cast):
    dataset = make(cast.fraud)
    record = models.EvaluationRecord._base_manager.get(dataset=dataset)
    page = shown(root.get(page_of(record)))
    assert "&lt;b&gt;why?" in page
    assert "answer" in page
    mine = root.listed("registry_evaluationrecord", dataset=str(dataset.pk))
    assert rows_of(mine) == [record]


@pytest.mark.parametrize(
    "words,expected",
    [
        ("tags.team = 'risk' AND name LIKE 'n%'", ["night"]),
        ("created_by = 'nobody'", []),
        ("nig", ["night"]),
    ],
)
def test_datasets_are_found_by_words_and_by_a_filter(root, cast, words, expected):
    make(cast.fraud)
    EvaluationDatasetFactory(project=cast.umbrella_fraud, name="day")
    response = root.listed("registry_evaluationdataset", q=words)
    assert [row.name for row in rows_of(response)] == expected


def test_a_list_costs_the_same_for_any_number_of_datasets(root, cast):
    make(cast.fraud)
    counts = [root.statements("registry_evaluationdataset")]
    for number in range(10):
        make(cast.fraud, f"d{number}")
    counts.append(root.statements("registry_evaluationdataset"))
    assert counts[0] == counts[1] <= 12


def test_a_deleted_dataset_is_restored_by_an_action(root, cast):
    dataset = make(cast.fraud)
    for action, is_deleted in (("delete_rows", True), ("restore_rows", False)):
        root.act(action, dataset, confirmed="1")
        row = models.EvaluationDataset._base_manager.get(pk=dataset.pk)
        assert (row.deleted_at is not None) is is_deleted

"""logged-models/search on the wire: filters, datasets, orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry.models import LoggedModel, LoggedModelParam, LoggedModelTag
from registry.tests.factories import LoggedModelFactory, RunFactory
from registry.tests.protocol import error

START = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = 1_767_225_600_000


def found(tracking, **body):
    body = {"experiment_ids": ["7"], **body}
    answer = tracking.ok("logged-models/search", **body)
    return [each["info"]["name"] for each in answer.get("models", [])]


@pytest.fixture
def run(cast):
    return RunFactory(experiment__project=cast.fraud, experiment__iid=7)


@pytest.fixture
def models(fraud, cast, run):
    """Four models, later ones newer, with metrics about two datasets."""
    made = {}
    for number, name in enumerate(("ash", "elm", "oak", "yew")):
        model = LoggedModelFactory(
            experiment=run.experiment,
            name=name,
            model_type="tree" if number < 2 else "",
            status="PENDING" if name == "yew" else "READY",
            source_run=run if name == "ash" else None,
        )
        moment = START + timedelta(hours=number)
        LoggedModel._base_manager.filter(pk=model.pk).update(
            created_at=moment, updated_at=moment
        )
        made[name] = model
    own = {"organization": cast.acme}
    for name, key, value in (("ash", "a b", "1"), ("elm", "a b", "2")):
        model = made[name]
        LoggedModelParam(logged_model=model, key=key, value=value, **own).save()
        LoggedModelTag(logged_model=model, key="team", value=name, **own).save()
    points = [
        ("ash", 0.9, 1, "train", "d1"),
        ("ash", 0.2, 2, "test", "d2"),
        ("elm", 0.5, 1, "train", "d9"),
        ("oak", "NaN", 1, "train", "d1"),
    ]
    fraud.ok(
        "runs/log-batch",
        run_id=run.pk.hex,
        metrics=[
            {
                "key": "auc",
                "value": value,
                "timestamp": stamp,
                "step": 0,
                "model_id": made[name].model_id,
                "dataset_name": dataset,
                "dataset_digest": digest,
            }
            for name, value, stamp, dataset, digest in points
        ],
    )
    return made


FILTERS = [
    ("", ["yew", "oak", "elm", "ash"]),
    ("name = 'ash'", ["ash"]),
    ("name != 'ash'", ["yew", "oak", "elm"]),
    ('attributes.name = "ash"', ["ash"]),
    ("name LIKE '%s%' AND name ILIKE 'A%'", ["ash"]),
    ("name IN ('ash', 'yew')", ["yew", "ash"]),
    ("name NOT IN ('ash', 'yew')", ["oak", "elm"]),
    ("model_type = 'tree'", ["elm", "ash"]),
    ("model_type != 'tree'", ["yew", "oak"]),
    ("status = 'READY'", ["oak", "elm", "ash"]),
    ("status IN ('PENDING', 'FAILED')", ["yew"]),
    ("status != 'UNSPECIFIED' AND status NOT IN ('READY')", ["yew"]),
    ("source_run_id = ''", ["yew", "oak", "elm"]),
    ("model_id = 'nonsense'", []),
    ("model_id LIKE 'm-%'", ["yew", "oak", "elm", "ash"]),
    ("artifact_location LIKE '%/models/m-%/artifacts' AND name = 'ash'", ["ash"]),
    ("experiment_id = '7' AND name = 'ash'", ["ash"]),
    (f"creation_time > {START_MS}", ["yew", "oak", "elm"]),
    (f"creation_timestamp = {START_MS}", ["ash"]),
    (f"last_updated_timestamp <= {START_MS + 3_600_000}", ["elm", "ash"]),
    (f"attributes.last_updated_time < {START_MS + 0.5}", ["ash"]),
    ("params.`a b` = '1'", ["ash"]),
    # Without quotes, too: the example of MLflow's own error message.
    ("params.`a b` = 1", ["ash"]),
    ("params.`a b` != '1'", ["elm"]),
    ("params.`a b` IN ('1', '2')", ["elm", "ash"]),
    ("params.`a b` IS NULL", ["yew", "oak"]),
    ("tags.team LIKE 'e%'", ["elm"]),
    # The newest point counts, and NaN meets nothing but !=.
    ("metrics.auc > 0.1", ["elm", "ash"]),
    ("metrics.auc = 0.9", []),
    ("metrics.auc = 0.2", ["ash"]),
    ("metrics.auc > 0.1 AND metrics.auc < 0.3", ["ash"]),
    ("metrics.auc != 0.5", ["oak", "ash"]),
    ("metrics.absent > 0", []),
]


@pytest.mark.parametrize("text,expected", FILTERS)
def test_a_filter_finds_models(fraud, models, text, expected):
    assert found(fraud, filter=text) == expected


def test_models_are_found_by_their_ids_and_their_run(fraud, models, run):
    key = models["ash"].model_id
    assert found(fraud, filter=f"model_id = '{key}'") == ["ash"]
    assert found(fraud, filter=f"model_id IN ('{key}', 'm-1')") == ["ash"]
    assert found(fraud, filter=f"model_id != '{key}'") == ["yew", "oak", "elm"]
    # Without its prefix it is the id of something else.
    assert found(fraud, filter=f"model_id = '{key[2:]}'") == []
    assert found(fraud, filter=f"source_run_id = '{run.pk.hex}'") == ["ash"]


DATASETS = [
    ([{"dataset_name": "train"}], "", ["oak", "elm", "ash"]),
    ([{"dataset_name": "train", "dataset_digest": "d1"}], "", ["oak", "ash"]),
    ([{"dataset_name": "train"}], "metrics.auc > 0.1", ["elm", "ash"]),
    ([{"dataset_name": "train"}], "metrics.auc = 0.9", ["ash"]),
    ([{"dataset_name": "test"}], "metrics.auc > 0.1", ["ash"]),
    ([{"dataset_name": "test"}], "metrics.auc > 0.5", []),
    ([{"dataset_name": "test"}, {"dataset_name": "train"}], "name = 'ash'", ["ash"]),
    ([{"dataset_name": "absent"}], "", []),
    ([], "", ["yew", "oak", "elm", "ash"]),
]


@pytest.mark.parametrize("datasets,text,expected", DATASETS)
def test_metrics_may_have_to_be_about_a_dataset(
    fraud, models, datasets, text, expected
):
    assert found(fraud, datasets=datasets, filter=text) == expected


ORDERS = [
    ([{"field_name": "name"}], ["ash", "elm", "oak", "yew"]),
    ([{"field_name": "name", "ascending": False}], ["yew", "oak", "elm", "ash"]),
    ([{"field_name": "creation_time"}], ["ash", "elm", "oak", "yew"]),
    ([{"field_name": "model_type"}], ["yew", "oak", "elm", "ash"]),
    (
        [{"field_name": "model_type", "ascending": False}, {"field_name": "name"}],
        ["ash", "elm", "oak", "yew"],
    ),
    # Pending before ready.
    ([{"field_name": "status"}], ["yew", "oak", "elm", "ash"]),
    # The newest point counts: numbers, then NaN, then those without.
    ([{"field_name": "metrics.auc"}], ["ash", "elm", "oak", "yew"]),
    (
        [{"field_name": "metrics.auc", "ascending": False}],
        ["elm", "ash", "oak", "yew"],
    ),
    (
        [
            {
                "field_name": "metrics.auc",
                "ascending": False,
                "dataset_name": "train",
            }
        ],
        ["ash", "elm", "oak", "yew"],
    ),
    (
        [
            {
                "field_name": "metrics.auc",
                "dataset_name": "train",
                "dataset_digest": "d9",
            }
        ],
        ["elm", "yew", "oak", "ash"],
    ),
]


@pytest.mark.parametrize("order,expected", ORDERS)
@pytest.mark.parametrize("size", [1, 3, 50])
def test_models_come_in_the_order_asked_for_page_by_page(
    fraud, models, order, expected, size
):
    names, token = [], ""
    while token is not None:
        answer = fraud.ok(
            "logged-models/search",
            experiment_ids=["7"],
            order_by=order,
            max_results=size,
            page_token=token,
        )
        names += [each["info"]["name"] for each in answer["models"]]
        token = answer.get("next_page_token")
    assert names == expected


WRONG = [
    ({"filter": "metric.auc > 1"}, "Invalid entity type: 'metric'."),
    ({"filter": "name = 'a' OR name = 'b'"}, "'OR' (at position 12)"),
    ({"order_by": [{"field_name": "foo"}]}, "Invalid order by field name: foo"),
    ({"order_by": [{"field_name": "params.x"}]}, "Only metrics are supported."),
    ({"order_by": [{"ascending": True}]}, "'order_by[0].field_name'"),
    ({"order_by": ["name"]}, "Invalid value \"name\" for parameter 'order_by[0]'"),
    (
        {"order_by": [{"field_name": "name", "ascending": "down"}]},
        "'order_by[0].ascending'",
    ),
    ({"order_by": [{"field_name": 5}]}, "'order_by[0].field_name'"),
    ({"order_by": [{"field_name": "name"}] * 21}, "use at most 20"),
    ({"datasets": [{}]}, "`dataset_name` in the `datasets` clause must be specif"),
    ({"datasets": ["train"]}, "'datasets[0]'"),
    ({"datasets": [{"dataset_name": "d"}] * 101}, "use at most 100"),
    ({"max_results": -1}, "It must be a positive integer"),
]


@pytest.mark.parametrize("change,reason", WRONG)
def test_a_wrong_search_is_refused(fraud, change, reason):
    response = fraud.post("logged-models/search", experiment_ids=["0"], **change)
    status, code, message = error(response)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert reason in message


def test_datasets_say_which_points_an_order_looks_at(fraud, models):
    """So MLflow 3.18 does: both those of the search and those of the order."""
    order = [{"field_name": "metrics.auc", "ascending": False}]
    train, test = [{"dataset_name": "train"}], [{"dataset_name": "test"}]
    assert found(fraud, order_by=order, datasets=train) == ["ash", "elm", "oak"]
    assert found(fraud, order_by=order, datasets=test) == ["ash"]
    order[0]["dataset_digest"] = "d9"
    assert found(fraud, order_by=order, datasets=train) == ["elm", "oak", "ash"]


def test_a_strangers_models_are_found_by_no_filter(
    models, churn, stranger_in_fraud, cast
):
    key = models["ash"].model_id
    for other in (churn, stranger_in_fraud):
        for text in ("", f"model_id = '{key}'", "metrics.auc > 0", "tags.x IS NULL"):
            assert found(other, filter=text) == []
        assert found(other, datasets=[{"dataset_name": "train"}]) == []

"""experiments/search: filters and orders on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry.models import Experiment, ExperimentTag
from registry.tests.factories import ExperimentFactory
from registry.tests.protocol import error, statements

START = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = 1_767_225_600_000


def names(tracking, **body):
    answer = tracking.ok("experiments/search", max_results=50, **body)
    return [each["name"] for each in answer.get("experiments", [])]


@pytest.fixture
def trees(cast):
    """Three experiments beside Default, a second and a half millisecond apart."""
    tags = {"oak": {"team": "risk"}, "ash": {"team": "Risk"}, "elm": {"a b": "x"}}
    for number, (name, labels) in enumerate(tags.items(), start=10):
        row = ExperimentFactory(project=cast.fraud, name=name, iid=number)
        moment = START + timedelta(seconds=number, microseconds=1500)
        Experiment._base_manager.filter(pk=row.pk).update(
            created_at=moment, updated_at=moment
        )
        for key, value in labels.items():
            ExperimentTag(
                organization=cast.acme, experiment=row, key=key, value=value
            ).save()
    Experiment._base_manager.filter(name="Default").update(created_at=START)


FOUND = [
    ("name = 'oak'", {"oak"}),
    ('attribute.name = "oak"', {"oak"}),
    ("`name` != 'oak'", {"Default", "ash", "elm"}),
    ("name LIKE '_a%'", {"oak"}),
    ("name LIKE 'O%'", set()),
    ("name ILIKE 'O%'", {"oak"}),
    ("name LIKE 'e%' AND name LIKE '%m'", {"elm"}),
    ("experiment_id = '10'", {"oak"}),
    ("experiment_id != '0'", {"oak", "ash", "elm"}),
    ("experiment_id IN ('10', '12', '-1', '99')", {"oak", "elm"}),
    ("experiment_id NOT IN ('0', '10')", {"ash", "elm"}),
    (f"experiment_id = '{'9' * 40}'", set()),
    (f"experiment_id != '{'9' * 40}'", {"Default", "oak", "ash", "elm"}),
    ("tags.team = 'risk'", {"oak"}),
    ("tag.team ILIKE 'RISK'", {"oak", "ash"}),
    # Those without the tag differ from nothing.
    ("tags.team != 'risk'", {"ash"}),
    ("tags.team IS NULL", {"Default", "elm"}),
    ("tags.`a b` IS NOT NULL", {"elm"}),
    ("tags.absent IS NULL", {"Default", "oak", "ash", "elm"}),
    ("tags.team = 'risk' AND tags.team LIKE 'r%'", {"oak"}),
    # Times are milliseconds, and the rest of a moment is not seen.
    (f"creation_time = {START_MS + 10_001}", {"oak"}),
    (f"creation_time != {START_MS + 10_001}", {"Default", "ash", "elm"}),
    (f"creation_time > {START_MS + 10_001}", {"ash", "elm"}),
    (f"creation_time >= {START_MS + 10_001}", {"oak", "ash", "elm"}),
    (f"creation_time < {START_MS + 10_001}", {"Default"}),
    (f"creation_time <= {START_MS + 10_001}", {"Default", "oak"}),
    (f"last_update_time = {START_MS + 12_001}", {"elm"}),
    (f"creation_time < {'9' * 400}", {"Default", "oak", "ash", "elm"}),
    (f"creation_time = -{'9' * 400}", set()),
    ("creation_time > -99999999999999999", {"Default", "oak", "ash", "elm"}),
    ("", {"Default", "oak", "ash", "elm"}),
]


@pytest.mark.parametrize("text,expected", FOUND)
def test_a_filter_finds(fraud, trees, text, expected):
    assert set(names(fraud, filter=text)) == expected


def test_what_the_web_ui_asks_finds_all_but_gateways(fraud, trees, cast):
    row = Experiment._base_manager.get(name="ash")
    key = "mlflow.experiment.isGateway"
    ExperimentTag(organization=cast.acme, experiment=row, key=key, value="1").save()
    found = names(
        fraud, filter=f"tags.`{key}` IS NULL", order_by=["last_update_time DESC"]
    )
    assert set(found) == {"Default", "oak", "elm"}
    assert found.index("elm") < found.index("oak")


@pytest.mark.parametrize(
    "order,expected",
    [
        ([], ["elm", "ash", "oak", "Default"]),
        (["creation_time"], ["Default", "oak", "ash", "elm"]),
        (["experiment_id DESC"], ["elm", "ash", "oak", "Default"]),
        (["attribute.`name` DESC"], ["oak", "elm", "ash", "Default"]),
    ],
)
def test_pages_of_a_filter_keep_its_order(fraud, trees, order, expected):
    found, token = [], ""
    while token is not None:
        answer = fraud.ok(
            "experiments/search",
            filter="name != 'ash'",
            max_results=1,
            order_by=order,
            page_token=token,
        )
        found += [each["name"] for each in answer["experiments"]]
        token = answer.get("next_page_token")
    assert found == [name for name in expected if name != "ash"]


def test_equal_rows_of_a_clients_own_order_come_by_their_number_downwards(fraud, trees):
    """So MLflow 3.18 does; its default order has them upwards."""
    Experiment._base_manager.update(updated_at=START, created_at=START)
    assert names(fraud, order_by=["last_update_time"]) == [
        *("elm", "ash", "oak", "Default")
    ]
    assert names(fraud) == ["Default", "oak", "ash", "elm"]


def test_a_filter_may_come_by_get(fraud, trees):
    answer = fraud.read("experiments/search", filter="name = 'oak'", max_results=5)
    assert [each["name"] for each in answer["experiments"]] == ["oak"]


def test_a_strangers_experiments_are_found_by_no_filter(
    trees, cast, churn, stranger_in_fraud
):
    everything = ("name LIKE '%'", "tags.team IS NOT NULL", "tags.team = 'risk'")
    for other in (churn, stranger_in_fraud):
        for text in everything:
            assert set(names(other, filter=text)) <= {"Default"}


def test_a_filter_takes_as_many_statements_for_any_page(fraud, cast):
    counts = set()
    for count in (1, 20, 200):
        rows = ExperimentFactory.create_batch(count, project=cast.fraud)
        ExperimentTag._base_manager.bulk_create(
            ExperimentTag(organization=cast.acme, experiment=row, key="k", value="v")
            for row in rows
        )
        response = fraud.post(
            "experiments/search",
            max_results=1000,
            filter="tags.k = 'v' AND tags.x IS NULL",
            order_by=["name"],
        )
        assert len(response.json()["experiments"]) >= count
        counts.add(statements(response))
    # savepoint, admission, experiments, tags, release
    assert counts == {5}


def test_a_reader_may_search(reader, trees):
    assert names(reader, filter="name = 'oak'") == ["oak"]


def test_a_wrong_filter_is_refused_with_its_place(fraud):
    response = fraud.post("experiments/search", max_results=5, filter="name = oak")
    assert error(response)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert "either not quoted or unidentified quote types" in error(response)[2]
    assert error(response)[2].endswith("(at position 8)")

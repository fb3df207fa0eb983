"""Evaluation datasets: which are found, in which order, and what is refused."""

from __future__ import annotations

import functools
from datetime import timedelta
from random import Random
from typing import Any

import orjson
import pytest
from django.db import connection

from mlops.db.uuid7 import EPOCH, milliseconds
from registry.models import EvaluationDataset, EvaluationDatasetTag
from registry.search.fields import EVALUATION_DATASETS
from registry.search.searches import Search
from registry.tests.evaluating import PREFIX, created, search
from registry.tests.factories import EvaluationDatasetFactory, ExperimentFactory
from registry.tests.protocol import Tracking, error, invalid, read, statements
from registry.tests.search.evaluator import holds
from registry.tests.search.generated import in_quotes
from registry.tests.search.test_same_rows import searching

NAMES = ("a", "A", "ab", "b%", "b_", "it's", "ä", "日本", "same", "same")
PEOPLE = ("", "ann", "Bob")
TAGS = ("team", "a b", "ö.x")
VALUES = ("", "x", "X", "xy", "100%", "ä")
MOMENTS = tuple(1_700_000_000_000 + n for n in (0, 0, 1, 5, 86_400_000))
NUMERIC = ("=", "!=", ">", ">=", "<", "<=")
TEXTUAL = ("=", "!=", "LIKE", "ILIKE")


@pytest.fixture
def fraud(fraud) -> Tracking:
    fraud.prefix = PREFIX
    return fraud


def moment(milliseconds_since: int) -> Any:
    return EPOCH + timedelta(milliseconds=milliseconds_since)


def populate(project, chance, count):
    """Store datasets whose names, times and people are often the same."""
    rows = EvaluationDatasetFactory.build_batch(count, project=project)
    for row in rows:
        row.organization = project.organization
        row.name = chance.choice(NAMES)
        row.creator_name, row.updater_name = chance.choices(PEOPLE, k=2)
        row.created_at = moment(chance.choice(MOMENTS))
        row.updated_at = moment(chance.choice(MOMENTS))
    EvaluationDataset._base_manager.bulk_create(rows)
    tags = {row.pk: plain_tags(chance) for row in rows}
    EvaluationDatasetTag._base_manager.bulk_create(
        EvaluationDatasetTag(
            organization=project.organization, dataset=row, key=key, value=value
        )
        for row in rows
        for key, value in tags[row.pk].items()
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE evaluation_datasets, evaluation_dataset_tags")
    return rows, tags


def plain_tags(chance):
    return {key: chance.choice(VALUES) for key in TAGS if chance.random() < 0.7}


def value_of(row, key):
    """What MLflow compares: nobody is no value."""
    match key:
        case "created_by":
            return row.creator_name or None
        case "last_updated_by":
            return row.updater_name or None
        case "created_time":
            return milliseconds(row.created_at)
        case "last_update_time":
            return milliseconds(row.updated_at)
    return row.name


def clause(chance):
    """Make (is a tag, key, operator, value)."""
    if chance.random() < 0.4:
        comparator = chance.choice(TEXTUAL)
        return True, chance.choice((*TAGS, "absent")), comparator, text(chance, VALUES)
    key = chance.choice(
        ("name", "created_by", "last_updated_by", "created_time", "last_update_time")
    )
    if key.endswith("time"):
        value = chance.choice((*MOMENTS, 0, 2**70))
        return False, key, chance.choice(NUMERIC), value
    comparator = chance.choice((*TEXTUAL, "IN") if key == "name" else TEXTUAL)
    known = NAMES if key == "name" else PEOPLE
    if comparator == "IN":
        return False, key, comparator, tuple(chance.choices(known, k=3))
    return False, key, comparator, text(chance, known)


def text(chance, known):
    return chance.choice(known) + chance.choice(("", "", "%"))


def written(each):
    is_tag, key, comparator, value = each
    name = f"tags.`{key}`" if is_tag else key
    if isinstance(value, tuple):
        return f"{name} IN ({', '.join(in_quotes(one, chr(39)) for one in value)})"
    if isinstance(value, int):
        return f"{name} {comparator} {value}"
    return f"{name} {comparator} {in_quotes(value, chr(39))}"


def meets(row, tags, each):
    is_tag, key, comparator, value = each
    found = tags[row.pk].get(key) if is_tag else value_of(row, key)
    return found is not None and holds(found, comparator, value)


def compare(one, other, order):
    for key, descends in order:
        left, right = value_of(one, key), value_of(other, key)
        if left != right:
            return (
                (left > right) - (left < right)
                if not descends
                else ((left < right) - (left > right))
            )
    # The newest key comes first.
    return (one.pk < other.pk) - (one.pk > other.pk)


def test_generated_searches_find_what_plain_python_finds(cast):
    chance = Random(11)
    rows, tags = populate(cast.fraud, chance, 60)
    populate(cast.umbrella_fraud, chance, 5)
    some = 0
    with searching(ExperimentFactory(project=cast.fraud)):
        for _ in range(150):
            meant = [clause(chance) for _ in range(chance.choice((0, 1, 1, 2)))]
            keys = chance.sample(("name", "created_time", "last_update_time"), 2)
            order = [(key, chance.random() < 0.5) for key in keys]
            order = order[: chance.choice((0, 1, 2))]
            asked = " AND ".join(map(written, meant))
            clauses = [f"{key} {'DESC' if down else 'ASC'}" for key, down in order]
            expected = [row for row in rows if all(meets(row, tags, m) for m in meant)]
            by = functools.partial(compare, order=order or [("created_time", True)])
            expected.sort(key=functools.cmp_to_key(by))
            found = paged(asked, clauses, chance.choice((7, 100)))
            assert found == [row.pk for row in expected], (asked, clauses)
            some += bool(expected)
    assert some > 60


def paged(asked, clauses, size):
    """Read all pages of the project's datasets, one after the other."""
    rows, found, place = EvaluationDataset.objects.all(), [], []
    while True:
        page = Search.of(EVALUATION_DATASETS, asked, clauses).page(
            rows, limit=size, after=place
        )
        found += [row.pk for row in page.rows]
        place = page.end
        if not place:
            return found


# Over the protocol


def test_datasets_are_found_by_their_experiments(fraud, churn):
    one, two = fraud.experiment("one"), fraud.experiment("two")
    created(fraud, "first", experiment_ids=[one])
    created(fraud, "both", experiment_ids=[one, two])
    created(fraud, "none")
    churn.prefix = PREFIX
    created(churn, "theirs", experiment_ids=[churn.experiment("one")])
    assert search(fraud) == ["none", "both", "first"]
    assert search(fraud, experiment_ids=[]) == ["none", "both", "first"]
    by_name = {"order_by": ["name"]}
    assert search(fraud, experiment_ids=[one], **by_name) == ["both", "first"]
    assert search(fraud, experiment_ids=[two, one]) == ["both", "first"]
    assert search(fraud, experiment_ids=[two, "999", "abc"]) == ["both"]
    for unknown in ("999", "abc", "-1", "9" * 30):
        assert search(fraud, experiment_ids=[unknown]) == []
    query = {"experiment_ids": [one, two], "order_by": ["name DESC"]}
    got = fraud.read("datasets/search", **query)["datasets"]
    assert [each["name"] for each in got] == ["first", "both"]


def test_pages_of_datasets_follow_each_other(fraud):
    names = [f"d{n}" for n in range(5)]
    for name in names:
        created(fraud, name)
    found, token = [], ""
    while True:
        body = {"max_results": 2, "order_by": ["name"], "page_token": token}
        response = fraud.post("datasets/search", **body)
        answer = read(response)
        # Admission; datasets; tags.
        assert statements(response) == 5
        found += [each["name"] for each in answer["datasets"]]
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert found == names
    other = fraud.post("datasets/search", max_results=2, page_token="%%%")
    assert error(other)[:2] == (400, "INVALID_PARAMETER_VALUE")


REFUSED = [
    ("tag.team = 'a'", "Invalid identifier token 'tag' specified", 1),
    ("attributes.name = 'a'", "Invalid identifier token 'attributes' specified", 1),
    ("digest = 'a'", "Invalid attribute key 'digest' specified.", 1),
    ("name NOT IN ('a')", "Invalid comparator 'NOT IN' not one of", 6),
    ("name IS NULL", "Invalid comparator 'IS NULL' not one of", 6),
    ("tags.a IS NOT NULL", "Invalid comparator 'IS NOT NULL' not one of", 8),
    ("tags.a IN ('a')", "Expected a quoted string value for tag", 11),
    ("created_by IN ('a')", "Only ['name'] attributes support comparison", 15),
    ("created_time = 'a'", "Expected numeric value type for numeric attribute", 16),
    ("created_time > 1.5", "Invalid value for numeric attribute", 16),
    ("name = 'a' OR name = 'b'", "Invalid clause(s) in filter string: 'OR'", 12),
]


@pytest.mark.parametrize("filter_string,reason,position", REFUSED)
def test_a_mistake_is_told_with_its_place(fraud, filter_string, reason, position):
    response = fraud.post("datasets/search", filter_string=filter_string)
    status, code, message = error(response)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert message.startswith(reason)
    assert message.endswith(f"(at position {position})")


@pytest.mark.parametrize(
    "clause,reason",
    [
        ("dataset_id", "Invalid attribute key 'dataset_id' specified."),
        ("created_by", "Invalid attribute key 'created_by' specified."),
        ("tags.team", "Invalid order_by entity: tag"),
        ("name DOWN", "Invalid ordering key in order_by clause 'name DOWN'."),
    ],
)
def test_an_order_by_something_else_is_refused(fraud, clause, reason):
    status, code, message = error(fraud.post("datasets/search", order_by=[clause]))
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert message.startswith(reason)


@pytest.mark.parametrize("number,most", [(0, ""), (-1, ""), (50_001, "at most 50000")])
def test_a_page_has_a_size(fraud, number, most):
    response = fraud.post("datasets/search", max_results=number)
    assert error(response) == invalid(
        f"Invalid value {number} for parameter 'max_results' supplied. It must be "
        f"{most or 'a positive integer'}"
    )


@pytest.mark.parametrize(
    "order,index",
    [([], "evaluation_datasets_newest"), (["name"], "evaluation_datasets_named")],
)
def test_a_page_is_read_by_an_index(fraud, cast, order, index):
    populate(cast.fraud, Random(3), 150)
    populate(cast.churn, Random(4), 600)
    rows = EvaluationDataset._base_manager.filter(
        project_id=cast.fraud.pk, deleted_at__isnull=True
    )
    asked = "name = 'same'" if order else ""
    found = Search.of(EVALUATION_DATASETS, asked).apply(rows)
    plan = orjson.loads(found[:20].explain(format="json"))
    assert index in str(plan)

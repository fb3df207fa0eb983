"""experiments/search-datasets: what runs used, once per context."""

from __future__ import annotations

import pytest

from registry.mlflow import rules
from registry.tests.protocol import error, invalid, statements

PATH = "experiments/search-datasets"
CONTEXT = "mlflow.data.context"


def use(tracking, run, name, *contexts, digest="1"):
    dataset = {"name": name, "digest": digest, "source_type": "t", "source": "s"}
    tags = [{"key": "k", "value": "v"}]
    tags += [{"key": CONTEXT, "value": context} for context in contexts]
    tracking.ok(
        "runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": tags}]
    )


def found(tracking, *experiments):
    answer = tracking.ok(PATH, experiment_ids=list(experiments))
    return [
        (each["experiment_id"], each["name"], each["digest"], each.get("context"))
        for each in answer.get("dataset_summaries", [])
    ]


def test_each_dataset_comes_once_per_context_of_its_uses(fraud):
    trees, woods = fraud.experiment("trees"), fraud.experiment("woods")
    for context in ("train", "train", "eval", "train"):
        use(fraud, fraud.run(trees), "iris", context)
    use(fraud, fraud.run(trees), "iris")
    use(fraud, fraud.run(trees), "iris", "train", digest="2")
    use(fraud, fraud.run(woods), "iris", "test")
    assert found(fraud, trees) == [
        (trees, "iris", "1", None),
        (trees, "iris", "1", "eval"),
        (trees, "iris", "1", "train"),
        (trees, "iris", "2", "train"),
    ]
    assert found(fraud, woods, trees, woods) == [
        *found(fraud, trees),
        (woods, "iris", "1", "test"),
    ]


def test_an_empty_context_is_none(fraud):
    use(fraud, fraud.run(), "iris", "")
    assert found(fraud, "0") == [("0", "iris", "1", None)]


def test_experiments_without_datasets_answer_an_empty_object(fraud):
    fraud.run()
    for ids in (["0"], ["987654321"], ["0", "-1", str(2**70)]):
        assert fraud.ok(PATH, experiment_ids=ids) == {}


def test_no_more_summaries_come_than_mlflow_sends(fraud, monkeypatch):
    assert rules.MAX_SUMMARIES == 1000
    monkeypatch.setattr(rules, "MAX_SUMMARIES", 3)
    trees = fraud.experiment("trees")
    for experiment in ("0", trees):
        run = fraud.run(experiment)
        for name in ("d", "c", "b", "a"):
            use(fraud, run, name)
    assert [name for _, name, *_ in found(fraud, trees, "0")] == ["a", "b", "c"]


def test_a_search_of_datasets_takes_one_statement(fraud):
    run = fraud.run()
    for count in (1, 5):
        for number in range(count):
            use(fraud, run, f"data {number}", "train")
        assert statements(fraud.post(PATH, experiment_ids=["0"])) == 1


def test_datasets_of_others_are_passed_over(fraud, churn, stranger_in_fraud, reader):
    use(fraud, fraud.run(), "iris", "train")
    assert found(reader, "0") == [("0", "iris", "1", "train")]
    trees = fraud.experiment("trees")
    use(fraud, fraud.run(trees), "secret")
    for other in (churn, stranger_in_fraud):
        twin = other.post(PATH, experiment_ids=["0", "987654321"])
        answer = other.post(PATH, experiment_ids=["0", trees])
        assert (answer.status_code, answer.content) == (200, twin.content)
        assert answer.content == b"{}"


AT_LEAST_ONE = "SearchDatasets request must specify at least one experiment_id."
REFUSED = [
    ("none", [], invalid(AT_LEAST_ONE)),
    ("nothing", None, invalid(AT_LEAST_ONE)),
    (
        "21",
        ["0"] * 21,
        invalid(
            "SearchDatasets request cannot specify more than 20 experiment_ids. "
            "Received 21 experiment_ids."
        ),
    ),
    (
        "no number",
        ["abc"],
        invalid("Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
    ),
]


@pytest.mark.parametrize(
    "_case,ids,expected", REFUSED, ids=[case for case, *_ in REFUSED]
)
def test_a_wrong_search_of_datasets_is_refused(fraud, _case, ids, expected):
    assert error(fraud.post(PATH, experiment_ids=ids)) == expected

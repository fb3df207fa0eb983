"""Every example of docs/search.md is run; every mistake in it answers what is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from mlops.errors import InvalidInput
from registry.models import (
    EvaluationDataset,
    Experiment,
    LoggedModel,
    ModelVersion,
    RegisteredModel,
    Run,
)
from registry.search.clauses import split_clauses
from registry.search.fields import (
    EVALUATION_DATASETS,
    EXPERIMENTS,
    LOGGED_MODELS,
    MODELS,
    RUNS,
    VERSIONS,
)
from registry.search.grammar import MAX_COMPARISONS, MAX_FILTER, MAX_LIST, parse_filter
from registry.search.searches import Search
from registry.tests.factories import ExperimentFactory
from registry.tests.search.test_same_rows import searching

PAGE = (Path(settings.BASE_DIR) / "docs" / "search.md").read_text()
BLOCK = re.compile(r"```sql ([\w -]+)\n(.*?)```", re.DOTALL)
WRONG = re.compile(r"^\| `([^|`]+)` \| `([^|]+)` \|$", re.MULTILINE)
ENTITIES = {
    "runs": (RUNS, Run),
    "experiments": (EXPERIMENTS, Experiment),
    "models": (MODELS, RegisteredModel),
    "versions": (VERSIONS, ModelVersion),
    "logged-models": (LOGGED_MODELS, LoggedModel),
    "evaluation-datasets": (EVALUATION_DATASETS, EvaluationDataset),
}
EXAMPLES = [
    (entity, line)
    for entity, block in BLOCK.findall(PAGE)
    for line in block.splitlines()
]


@pytest.mark.parametrize("entity,line", EXAMPLES)
def test_an_example_runs(cast, entity, line):
    is_order = entity.startswith("order of ")
    table, model = ENTITIES[entity.removeprefix("order of ")]
    filters = ("", split_clauses(line)) if is_order else (line, [])
    search = Search.of(table, *filters)
    assert not search.is_plain
    with searching(ExperimentFactory(project=cast.fraud)):
        assert isinstance(search.page(model.objects.all(), limit=5).rows, list)


@pytest.mark.parametrize("text,answer", WRONG.findall(PAGE))
def test_a_mistake_answers_what_the_page_says(text, answer):
    with pytest.raises(InvalidInput) as error:
        parse_filter(text, RUNS)
    assert error.value.message.startswith(answer)


def test_the_page_has_its_examples_and_limits():
    assert len(EXAMPLES) > 20
    assert len(WRONG.findall(PAGE)) == 4
    for limit in (MAX_FILTER, MAX_COMPARISONS, MAX_LIST):
        assert f" {limit:,} " in PAGE

"""Two hundred runs with all that a search can stumble over: as rows, and plain."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from mlops.db.uuid7 import uuid7
from registry.models import (
    Dataset,
    LatestMetric,
    Param,
    Run,
    RunInput,
    RunStatus,
    RunTag,
)

SIZE = 200
TABLES = ("experiment_runs", "run_params", "run_tags", "latest_metrics", "run_inputs")
NAN, INFINITE = float("nan"), float("inf")
LARGEST = 1.7976931348623157e308
# Values that are equal, that begin alike, that a pattern or a quote could trip over,
# and two that differ only behind what an index holds.
LONG = "long" * 70
TEXTS = (
    "",
    "a",
    "A",
    "ab",
    "aB",
    "abc",
    "b",
    "a%b",
    "a_b",
    "a\\b",
    "100%",
    "ä",
    "Ä",
    "日本",
    "\U0010ffff",
    "a\U0010ffff",
    "it's",
    'say "hi"',
    "-- no comment",
    "line\nbreak",
    LONG,
    LONG + "1",
    LONG + "2",
)
NUMBERS = (
    *(NAN, INFINITE, -INFINITE, LARGEST, -LARGEST),
    *(0.0, 1.0, -1.0, 0.5, 0.1 + 0.2, 1e-300, -2.5, 3.0, 17.0, 1e16),
)
STARTS = (0, 1, -1, 5, 1_700_000_000_000, 2**53 + 1, 2**63 - 1, -(2**63))
ENDS = (None, None, *STARTS)
METRICS = ("loss", "val/acc", "a b", "rare")
PARAMS = ("depth", "learning rate", "a.b")
TAGS = ("team", "mlflow.source.name", "ö")
DATASETS = ("train", "Train", "test%")
DIGESTS = ("d1", "d2")
CONTEXTS = (None, "training", "eval_uation")
USERS = ("", "ann", "Bob")


@dataclass(slots=True)
class PlainRun:
    """What a client knows of a run."""

    key: UUID
    name: str
    status: str
    user: str
    start: int
    end: int | None
    uri: str
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    inputs: list[tuple[str, str, str | None]] = field(default_factory=list)


def populate(experiment: Any, seed: int = 5) -> list[PlainRun]:
    """Store the runs past every lock, each table in one statement."""
    chance = random.Random(seed)
    runs = [plain_run(experiment, chance) for _ in range(SIZE)]
    own = {"organization_id": experiment.organization_id}
    below = {**own, "experiment_id": experiment.pk}
    Run._base_manager.bulk_create(
        Run(
            id=run.key,
            iid=number,
            project_id=experiment.project_id,
            name=run.name,
            status=run.status,
            user_name=run.user,
            start_time_ms=run.start,
            end_time_ms=run.end,
            **below,
        )
        for number, run in enumerate(runs, start=5_000_000)
    )
    Param._base_manager.bulk_create(
        Param(run_id=run.key, key=key, value=value, **below)
        for run in runs
        for key, value in run.params.items()
    )
    RunTag._base_manager.bulk_create(
        RunTag(run_id=run.key, key=key, value=value, **below)
        for run in runs
        for key, value in run.tags.items()
    )
    LatestMetric._base_manager.bulk_create(
        LatestMetric(
            id=uuid7(), run_id=run.key, name=key, value=value, timestamp_ms=1, **below
        )
        for run in runs
        for key, value in run.metrics.items()
    )
    store_inputs(runs, experiment)
    with connection.cursor() as cursor:
        # On tables that seem empty each join reads the other one row by row.
        cursor.execute(f"ANALYZE {', '.join(TABLES)}")
    return runs


def plain_run(experiment: Any, chance: random.Random) -> PlainRun:
    key = uuid7()
    name = chance.choice(TEXTS)
    run = PlainRun(
        key=key,
        name=name,
        status=chance.choice(RunStatus.values),
        user=chance.choice(USERS),
        start=chance.choice(STARTS),
        end=chance.choice(ENDS),
        uri=f"{experiment.artifact_location}/{key.hex}/artifacts",
    )
    kinds: tuple[tuple[Sequence[str], Sequence[Any], dict[str, Any]], ...] = (
        (METRICS, NUMBERS, run.metrics),
        (PARAMS, TEXTS, run.params),
        (TAGS, TEXTS, run.tags),
    )
    for names, values, found in kinds:
        for each in names:
            if chance.random() < (0.05 if each == "rare" else 0.7):
                found[each] = chance.choice(values)
    if chance.random() < 0.9:
        run.tags["mlflow.runName"] = name
    for dataset in chance.sample(DATASETS, chance.choice((0, 0, 1, 2))):
        used = (dataset, chance.choice(DIGESTS), chance.choice(CONTEXTS))
        run.inputs.append(used)
    return run


def store_inputs(runs: list[PlainRun], experiment: Any) -> None:
    own = {"organization_id": experiment.organization_id}
    datasets = {
        (name, digest): Dataset(
            experiment=experiment,
            name=name,
            digest=digest,
            source_type="local",
            source="s",
            **own,
        )
        for name in DATASETS
        for digest in DIGESTS
    }
    Dataset._base_manager.bulk_create(datasets.values())
    RunInput._base_manager.bulk_create(
        RunInput(
            run_id=run.key,
            dataset=datasets[name, digest],
            tags=[{"key": "mlflow.data.context", "value": context}] if context else [],
            **own,
        )
        for run in runs
        for name, digest, context in run.inputs
    )

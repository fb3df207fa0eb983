"""What a request names when nothing is wrong with it: rows that are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from conftest import Cast, WebClient
from registry.mlflow.endpoint import Endpoint
from registry.search import fields
from registry.tests.factories import (
    EvaluationRecordFactory,
    ExperimentFactory,
    LoggedModelFactory,
    RunFactory,
    UploadFactory,
)
from registry.tests.protocol import Tracking
from tests.fuzz.filters import order_as_objects, written_filter, written_order

EXPERIMENT, MODEL, ALIAS, FILE = "fuzzed", "fuzzed-model", "k", "a"
POINTS = 40
# One of them without the other is a mistake.
TOGETHER = {"start_step", "end_step"}
PAIRS = [{"key": "k", "value": "v"}]
DATASET = {"name": "d", "digest": "1", "source_type": "s", "source": "s"}


TAGS_IN_TEXT = json.dumps({"k": "v", "mlflow.user": "ann"})
RECORDS = [{"inputs": {"q": 1}, "expectations": {"a": 2}, "tags": {"k": "v"}}]


@dataclass(frozen=True)
class Stored:
    """What valid requests lead to; the rest has the names above."""

    run_id: str
    experiment_id: str
    model_id: str
    upload_id: str
    dataset_id: str
    deleted_run_id: str
    deleted_experiment_id: str


def store(cast: Cast, maintainer: WebClient) -> Stored:
    """Store one of everything in fraud; what clients log, as they log it."""
    run = RunFactory(experiment__project=cast.fraud, experiment__name=EXPERIMENT)
    number, run_id = str(run.experiment.iid), run.pk.hex
    model = LoggedModelFactory(experiment=run.experiment, source_run=run)
    location = f"{number}/{run_id}/artifacts/model.bin"
    record = EvaluationRecordFactory(
        dataset__project=cast.fraud, dataset__record_count=1
    )
    stored = Stored(
        run_id=run_id,
        experiment_id=number,
        model_id=f"m-{model.pk.hex}",
        upload_id=UploadFactory(project=cast.fraud, location=location).pk.hex,
        dataset_id=record.dataset.dataset_id,
        deleted_run_id=RunFactory(experiment=run.experiment).pk.hex,
        deleted_experiment_id=str(ExperimentFactory(project=cast.fraud).iid),
    )
    log(Tracking(maintainer), stored)
    return stored


def log(tracking: Tracking, stored: Stored) -> None:
    tracking.ok("runs/delete", run_id=stored.deleted_run_id)
    tracking.ok("experiments/delete", experiment_id=stored.deleted_experiment_id)
    run = {"run_id": stored.run_id}
    points = [
        {"key": "m", "value": step / 7, "timestamp": step, "step": step}
        for step in range(POINTS)
    ]
    tracking.ok("runs/log-batch", **run, metrics=points, params=PAIRS, tags=PAIRS)
    given = [{"dataset": DATASET, "tags": PAIRS}]
    tracking.ok("runs/log-inputs", **run, datasets=given)
    own = {"experiment_id": stored.experiment_id, **PAIRS[0]}
    tracking.ok("experiments/set-experiment-tag", **own)
    for holder in (stored.run_id, f"models/{stored.model_id}"):
        path = f"{stored.experiment_id}/{holder}/artifacts/{FILE}"
        kept = tracking.client.put(
            f"/api/2.0/mlflow-artifacts/artifacts/{path}", b"x", "text/plain"
        )
        assert kept.status_code == 200, kept.content
    tags = f"logged-models/{stored.model_id}/tags"
    tagged = tracking.client.patch(
        f"{tracking.prefix}{tags}", {"tags": PAIRS}, "application/json"
    )
    assert tagged.status_code == 200, tagged.content
    tracking.ok("registered-models/create", name=MODEL)
    for _ in range(2):
        source = f"runs:/{stored.run_id}/{FILE}"
        tracking.ok("model-versions/create", name=MODEL, source=source, **run)
    tracking.ok("registered-models/alias", name=MODEL, alias=ALIAS, version="1")


class Arguments:
    """Gives an endpoint what it accepts, and something else each time."""

    def __init__(self, random: Random, stored: Stored) -> None:
        self.random = random
        self.stored = stored

    def of(self, endpoint: Endpoint) -> dict[str, Any]:
        """Name all that is required, and most of the rest."""
        own = self.own(endpoint)
        known = self.known() | own
        return {
            field.name: known[field.name]
            for field in endpoint.fields
            if field.is_required
            or field.name in own
            or (field.name not in TOGETHER and self.random.random() < 0.7)
        }

    def own(self, endpoint: Endpoint) -> dict[str, Any]:
        make = OWN.get((endpoint.method, endpoint.path))
        return make(self) if make else {}

    def fresh(self) -> str:
        return f"n-{self.random.getrandbits(48):x}"

    def search(self, table: fields.Table) -> dict[str, Any]:
        return {
            "filter": written_filter(table, self.random),
            "order_by": written_order(table, self.random),
        }

    def search_experiments(self) -> dict[str, Any]:
        return self.search(fields.EXPERIMENTS) | self.some("max_results")

    def some(self, *names: str) -> dict[str, Any]:
        """Name what the schema may lack, and the endpoint may not."""
        known = self.known()
        return {name: known[name] for name in names}

    def search_datasets(self) -> dict[str, Any]:
        table = fields.EVALUATION_DATASETS
        return {
            "filter_string": written_filter(table, self.random),
            "order_by": written_order(table, self.random),
        }

    def known(self) -> dict[str, Any]:
        stored = self.stored
        point = {"key": "m", "value": 0.5, "timestamp": 1, "step": 0}
        return {
            **dict.fromkeys(("path", "artifact_directory_path"), FILE),
            **dict.fromkeys(("metric_key",), "m"),
            **dict.fromkeys(("key", "tag_key", "alias", "user_id"), "k"),
            **dict.fromkeys(("description", "model_type", "run_name"), "k"),
            **dict.fromkeys(("dataset_name", "dataset_digest", "run_link"), "1"),
            **dict.fromkeys(("page_token", "artifact_location"), ""),
            **dict.fromkeys(("view_type", "run_view_type"), "ALL"),
            **dict.fromkeys(("start_time", "end_time", "timestamp", "step"), 5),
            **dict.fromkeys(("params", "tags"), PAIRS),
            "name": MODEL,
            "new_name": self.fresh(),
            "experiment_name": EXPERIMENT,
            "version": self.random.choice(("1", "2")),
            "allow_deleted": True,
            "source": f"runs:/{stored.run_id}/{FILE}",
            "source_run_id": stored.run_id,
            "model_id": stored.model_id,
            "workspace_name": "churn",
            "project": "fraud",
            "run_ids": [stored.run_id, stored.deleted_run_id],
            "start_step": self.random.randint(0, 5),
            "end_step": self.random.randint(5, POINTS),
            "mode": "CASCADE",
            "default_artifact_root": "",
            "trace_archival_config": None,
            "filter": "",
            "filter_string": "",
            "dataset_id": stored.dataset_id,
            "dataset_record_ids": [f"dr-{0:032x}"],
            "records": json.dumps(RECORDS),
            "run_id": stored.run_id,
            "experiment_id": stored.experiment_id,
            "experiment_ids": [stored.experiment_id, "0"],
            "order_by": [],
            "max_results": self.random.choice((1, 2, 5, 100)),
            "status": "FINISHED",
            "value": "v",
            "metrics": [point],
            "datasets": [{"dataset": DATASET, "tags": PAIRS}],
            "models": [{"model_id": stored.model_id, "step": 1}],
            "model_json": json.dumps(
                {
                    "artifact_path": "m",
                    "flavors": {},
                    "utc_time_created": "",
                    "run_id": stored.run_id,
                }
            ),
        }


# What an endpoint takes otherwise than others do.
OWN: dict[tuple[str, str], Callable[[Arguments], dict[str, Any]]] = {
    ("POST", "experiments/create"): lambda one: {"name": one.fresh()},
    ("POST", "experiments/restore"): lambda one: {
        "experiment_id": one.stored.deleted_experiment_id
    },
    ("GET", "experiments/search"): lambda one: one.search_experiments(),
    ("POST", "experiments/search"): lambda one: one.search_experiments(),
    ("POST", "experiments/set-experiment-tag"): lambda one: one.some("value"),
    ("POST", "experiments/search-datasets"): lambda one: one.some("experiment_ids"),
    ("POST", "datasets/create"): lambda one: {
        "name": one.fresh(),
        "tags": TAGS_IN_TEXT,
    },
    ("PATCH", "datasets/<dataset_id>/tags"): lambda one: {"tags": TAGS_IN_TEXT},
    ("GET", "datasets/search"): lambda one: one.search_datasets(),
    ("POST", "datasets/search"): lambda one: one.search_datasets(),
    ("POST", "runs/restore"): lambda one: {"run_id": one.stored.deleted_run_id},
    ("POST", "runs/search"): lambda one: one.search(fields.RUNS),
    ("GET", "metrics/get-history-bulk"): lambda one: {
        "run_id": [one.stored.run_id, one.stored.deleted_run_id],
        "metric_key": "m",
    },
    ("GET", "metrics/get-history-bulk-interval"): lambda one: one.random.choice(
        ({}, one.some("start_step", "end_step"))
    ),
    ("POST", "runs/set-tag"): lambda one: one.some("value"),
    ("POST", "runs/log-metric"): lambda one: {"key": "m", "value": 1.5},
    ("POST", "runs/log-parameter"): lambda one: {"key": one.fresh(), "value": "v"},
    ("POST", "logged-models"): lambda one: {"name": "forest"},
    ("POST", "logged-models/search"): lambda one: {
        "filter": written_filter(fields.LOGGED_MODELS, one.random),
        "order_by": order_as_objects(fields.LOGGED_MODELS, one.random),
        "datasets": [{"dataset_name": "d", "dataset_digest": "1"}],
    },
    ("PATCH", "logged-models/<model_id>"): lambda one: {"status": "LOGGED_MODEL_READY"},
    ("POST", "logged-models/<model_id>/params"): lambda one: {
        "params": [{"key": one.fresh(), "value": "v"}]
    },
    ("POST", "registered-models/create"): lambda one: {"name": one.fresh()},
    ("GET", "registered-models/search"): lambda one: one.search(fields.MODELS),
    ("GET", "model-versions/search"): lambda one: one.search(fields.VERSIONS),
    ("POST", "model-versions/create"): lambda one: {"run_id": one.stored.run_id},
    ("PATCH", "workspaces/<workspace_name>"): lambda one: one.some("description"),
    ("POST", "workspaces"): lambda one: {"name": one.fresh()},
}

"""What a run holds, in one form from two sides: as it was sent, and as it is read back.

Compared with ==, so a point, param, tag, input or file too many fails like a missing
one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.entities import FileInfo
from mlflow.tracking import MlflowClient

LARGEST = 1.7976931348623157e308
INFINITIES = {"Infinity": LARGEST, "-Infinity": -LARGEST}
# (milliseconds, step, value): the order in which MLflow tells a metric's history.
Point = tuple[int, int, str]


@dataclass
class LoggedRun:
    experiment: str
    name: str
    status: str = "RUNNING"
    start_time: int = 0
    end_time: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[Point]] = field(default_factory=lambda: defaultdict(list))
    # name, digest, source, schema, profile and tags of each dataset, sorted
    inputs: list[tuple[str, ...]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)  # path to SHA-256

    def add_point(self, point: dict[str, Any]) -> None:
        value = float_of(point["value"])
        moment = int(point["timestamp"]), int(point.get("step", 0)), text_of(value)
        self.metrics[point["key"]].append(moment)

    def in_order(self) -> LoggedRun:
        for points in self.metrics.values():
            points.sort(key=lambda point: (point[0], point[1], float(point[2])))
        self.inputs.sort()
        return self


def float_of(value: float | str) -> float:
    """Read a value as MLflow keeps it: infinities are the largest numbers there are."""
    return INFINITIES.get(str(value), 0.0) or float(value)


def text_of(value: float) -> str:
    return "nan" if math.isnan(value) else repr(value)


# As it was sent


def sent(journal: Path) -> dict[str, LoggedRun]:
    """Replay what a script sent into what its runs must hold.

    Raises KeyError on a write it does not know: then this module must learn it.
    """
    runs: dict[str, LoggedRun] = {}
    for line in journal.read_text().splitlines():
        exchange = json.loads(line)
        path = urlsplit(exchange["path"]).path
        assert exchange["status"] == 200 or exchange["method"] == "GET", exchange
        if exchange["method"] == "PUT":
            _put(runs, unquote(path), exchange["sha256"])
        elif exchange["method"] != "GET":
            call = path.split("/mlflow/")[-1]
            body = json.loads(exchange["text"] or "{}")
            WRITES[call](runs, body, exchange["reply"])
    return {run_id: run.in_order() for run_id, run in runs.items()}


def _put(runs: dict[str, LoggedRun], path: str, sha256: str) -> None:
    root, _, name = path.partition("/artifacts/")[2].partition("/artifacts/")
    runs[root.rpartition("/")[2]].files[name] = sha256


def _create(runs: dict[str, LoggedRun], body: dict, reply: dict) -> None:
    info = reply["run"]["info"]
    run = LoggedRun(
        experiment=body["experiment_id"],
        name=body["run_name"],
        start_time=int(body["start_time"]),
    )
    _add(run, body)
    run.tags.setdefault("mlflow.runName", run.name)
    runs[info["run_id"]] = run


def _add(run: LoggedRun, body: dict) -> None:
    run.params |= {pair["key"]: pair["value"] for pair in body.get("params", [])}
    run.tags |= {pair["key"]: pair["value"] for pair in body.get("tags", [])}
    for point in body.get("metrics", []):
        run.add_point(point)


def _update(runs: dict[str, LoggedRun], body: dict, reply: dict) -> None:
    run = runs[body["run_id"]]
    run.status = body.get("status", run.status)
    run.end_time = int(body["end_time"]) if "end_time" in body else run.end_time


def _log_inputs(runs: dict[str, LoggedRun], body: dict, reply: dict) -> None:
    for given in body["datasets"]:
        tags = ((tag["key"], tag["value"]) for tag in given.get("tags", []))
        runs[body["run_id"]].inputs.append(as_input(given["dataset"], tags))


def as_input(dataset: dict[str, str], tags: Iterable[tuple[str, str]]) -> tuple:
    parts = "name digest source_type source schema profile".split()
    return *(dataset.get(part) or "" for part in parts), *sorted(tags)


WRITES: dict[str, Callable[[dict[str, LoggedRun], dict, dict], None]] = {
    "experiments/create": lambda runs, body, reply: None,
    "runs/create": _create,
    "runs/update": _update,
    "runs/log-batch": lambda runs, body, reply: _add(runs[body["run_id"]], body),
    "runs/log-metric": lambda runs, body, reply: runs[body["run_id"]].add_point(body),
    "runs/log-parameter": lambda runs, body, reply: _add(
        runs[body["run_id"]], {"params": [body]}
    ),
    "runs/set-tag": lambda runs, body, reply: _add(
        runs[body["run_id"]], {"tags": [body]}
    ),
    "runs/log-inputs": _log_inputs,
}


# As it is read back


def read(client: MlflowClient, run_id: str, folder: Path) -> LoggedRun:
    """Read all of a run through the client; its files are downloaded into `folder`."""
    found = client.get_run(run_id)
    run = LoggedRun(
        experiment=found.info.experiment_id,
        name=found.info.run_name,
        status=found.info.status,
        start_time=found.info.start_time,
        end_time=found.info.end_time,
        params=dict(found.data.params),
        tags=dict(found.data.tags),
    )
    for key in found.data.metrics:
        run.metrics[key] = history(client, run_id, key)
    assert found.inputs
    for given in found.inputs.dataset_inputs:
        tags = ((tag.key, tag.value) for tag in given.tags)
        run.inputs.append(as_input(given.dataset.to_dictionary(), tags))
    for file in files_of(client, run_id):
        run.files[file.path] = digest(client, run_id, file.path, folder)
    run.inputs.sort()
    return run


def history(client: MlflowClient, run_id: str, key: str) -> list[Point]:
    points = client.get_metric_history(run_id, key)
    return [(point.timestamp, point.step, text_of(point.value)) for point in points]


def files_of(client: MlflowClient, run_id: str, path: str = "") -> Iterator[FileInfo]:
    for found in client.list_artifacts(run_id, path or None):
        if found.is_dir:
            yield from files_of(client, run_id, found.path)
        else:
            yield found


def digest(client: MlflowClient, run_id: str, path: str, folder: Path) -> str:
    with open(client.download_artifacts(run_id, path, str(folder)), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

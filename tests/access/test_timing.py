"""How long "not found" takes: no longer for what is foreign than for what is not."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

import pytest
from django.test import Client

from conftest import Cast
from registry import models as registry
from tenants.tests.factories import make_api_token
from tests.access.rows import Rows, populate
from tests.access.world import running_as

PAIRS, BATCHES = 500, 3
HOT = "/mlflow/acme/fraud/api/2.0/mlflow/"
REST = "/api/v1/organizations/acme/projects/fraud/"


@dataclass(frozen=True)
class Reader:
    """A GET with a hole in its address, and what stands in it."""

    address: str
    foreign: str
    absent: str


def readers(rows: Rows) -> list[Reader]:
    run, model = rows[registry.Run], rows[registry.RegisteredModel]
    experiment = rows[registry.Experiment]
    rest = {
        "runs": run,
        "experiments": experiment,
        "models": model,
        "model-versions": rows[registry.ModelVersion],
        "packages": rows[registry.Package],
        "deployments": rows[registry.Deployment],
    }
    by_key = [
        Reader(f"{REST}{n}/{{}}/", str(r.pk), str(uuid4())) for n, r in rest.items()
    ]
    of_run = (run.pk.hex, uuid4().hex)
    metric = f"{HOT}metrics/get-history?metric_key=loss&run_id={{}}"
    return [
        Reader(f"{HOT}runs/get?run_id={{}}", *of_run),
        Reader(metric, *of_run),
        Reader(f"{HOT}artifacts/list?run_id={{}}", *of_run),
        Reader("/mlflow/acme/fraud/get-artifact?path=a.txt&run_id={}", *of_run),
        Reader(f"{HOT}experiments/get?experiment_id={{}}", "333333", "666666"),
        Reader(
            f"{HOT}experiments/get-by-name?experiment_name={{}}",
            experiment.name,
            experiment.name.replace("for", "foo"),
        ),
        *by_key,
    ]


def ask(client: Client, address: str) -> float:
    start = time.perf_counter()
    response = client.get(address)
    took = time.perf_counter() - start
    assert response.status_code == 404, address
    return took


def ratio(client: Client, reader: Reader, pairs: int) -> float:
    """Ask for both in turn, each first every other time; compare their medians."""
    foreign, absent = [], []
    theirs, nobodys = (
        reader.address.format(each) for each in (reader.foreign, reader.absent)
    )
    for pair in range(pairs):
        if pair % 2:
            foreign.append(ask(client, theirs))
            absent.append(ask(client, nobodys))
        else:
            absent.append(ask(client, nobodys))
            foreign.append(ask(client, theirs))
    return median(foreign) / median(absent)


@pytest.fixture
def asking(cast: Cast) -> Client:
    token = make_api_token(cast.alice, cast.acme).text
    return Client(headers={"authorization": f"Bearer {token}"})


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_is_foreign_takes_as_long_as_what_is_not(cast, asking):
    populate(cast.fraud, "ownqz", 111_111)
    rows = populate(cast.umbrella_fraud, "forqz", 333_333)
    found = {}
    with running_as("app_rw"):
        for reader in readers(rows):
            ratio(asking, reader, 20)  # prepares statements and fills caches
            gc.collect()
            # A noisy neighbour must not decide: the middle one of three counts.
            tries = sorted(ratio(asking, reader, PAIRS) for _ in range(BATCHES))
            found[reader.address] = tries[BATCHES // 2]
    print()
    for address, value in found.items():
        print(f"{value:.3f}  {address}")
    slow = {address: value for address, value in found.items() if not 0.9 < value < 1.1}
    assert not slow

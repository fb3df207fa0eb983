"""Real programs, unmodified: they print and leave the same here as at MLflow's server.

Each with the newest client of MLflow 3 and the last of MLflow 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.servers import mlflow_server
from tests.e2e.clients import (
    LAST_2,
    NEWEST,
    Server,
    held,
    rename,
    run_in,
    run_program,
)
from tests.e2e.logged import LoggedRun, read
from tests.e2e.running import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(1800)]

# A program, and the experiment in which it logs.
PROGRAMS = {
    "sklearn_autolog": "sklearn autolog",
    "lightgbm_autolog": "lightgbm autolog",
    "optuna_callback": "optuna",
    "nested_runs": "nested",
    "search_into_pandas": "search",
}
by_both_clients = pytest.mark.parametrize("client", [NEWEST, LAST_2])


@pytest.fixture(scope="module")
def reference(platform: Platform) -> Iterator[Server]:
    with mlflow_server(platform) as address:
        yield Server(address)


@pytest.fixture
def ours(platform: Platform) -> Server:
    tenant = platform.make_tenant()
    return Server(tenant.base_url, tenant.token)


@by_both_clients
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_and_leaves_the_same(
    reference: Server, ours: Server, tmp_path: Path, client: str, name: str
) -> None:
    printed = [
        run_program(client, name, server, tmp_path) for server in (ours, reference)
    ]
    assert printed[0] == printed[1]
    assert printed[0]
    left = []
    for server in (ours, reference):
        with server.client() as mlflow:
            left.append(held(mlflow, PROGRAMS[name]))
    rename(reference, PROGRAMS[name], f"{PROGRAMS[name]} by {client}")
    assert left[0]["runs"]
    for one, other in zip(left[0].pop("runs"), left[1].pop("runs"), strict=True):
        assert one == other
    assert left[0] == left[1]


@by_both_clients
def test_three_thousand_runs_are_walked_once_each(
    ours: Server, tmp_path: Path, client: str
) -> None:
    """The program itself asserts what it finds on each page."""
    assert run_program(client, "paging", ours, tmp_path) == [
        "pages 12 runs 3000",
        "pages 6 runs 1500",
    ]


@by_both_clients
def test_an_experiment_goes_to_ours_and_back_with_nothing_lost(
    reference: Server, ours: Server, tmp_path: Path, client: str
) -> None:
    """Carried by mlflow-export-import, the tool that people move with."""
    name = f"moved by {client}"
    run_program(client, "nested_runs", reference, tmp_path)
    rename(reference, "nested", name)
    carry(client, name, reference, ours, tmp_path / "there")
    rename(reference, name, f"{name}, the first")
    carry(client, name, ours, reference, tmp_path / "back")
    first = whole(reference, f"{name}, the first", tmp_path)
    assert whole(ours, name, tmp_path) == first
    assert whole(reference, name, tmp_path) == first
    assert len(first) == 7


def carry(client: str, name: str, source: Server, target: Server, to: Path) -> None:
    to.mkdir()
    out = str(to / "out")
    take = ("export-experiment", "--experiment", name, "--output-dir", out)
    run_in(client, source, to, *take)
    put = ("import-experiment", "--experiment-name", name, "--input-dir", out)
    run_in(client, target, to, *put)


def whole(server: Server, experiment: str, folder: Path) -> dict[str, LoggedRun]:
    """Read all runs to the last byte; the tool gives them new ids and times."""
    with server.client() as mlflow:
        found = mlflow.get_experiment_by_name(experiment)
        assert found
        runs = {}
        for run in mlflow.search_runs([found.experiment_id]):
            logged = read(mlflow, run.info.run_id, folder)
            logged.experiment, logged.start_time, logged.end_time = "", 0, None
            logged.tags.pop("mlflow.parentRunId", None)
            runs[logged.name] = logged
        return runs

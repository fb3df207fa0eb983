"""Real programs, unmodified: they print and leave the same here as at MLflow's server.

Each with the newest client of MLflow 3 and the last of MLflow 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest

from tests.differential.servers import mlflow_server
from tests.e2e.carrying import carry, whole
from tests.e2e.clients import LAST_2, NEWEST, Server, held, rename, run_program
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
        for part, value in one.items():
            assert value == other[part], f"{part} of {one['name']}"
    assert left[0] == left[1]


def test_runs_of_many_threads_are_as_many_as_were_asked_for(
    ours: Server, tmp_path: Path
) -> None:
    """With the newest client alone: older ones resend a create that may be lost."""
    assert run_program(NEWEST, "threads", ours, tmp_path) == ["made 400", "found 400"]


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
    """Nothing but what the tool loses on its way to another server of MLflow's."""
    made, copied, back = (f"{word} by {client}" for word in ("made", "copied", "back"))
    run_program(client, "carried", reference, tmp_path)
    rename(reference, "carried", made)
    carry(client, reference, made, reference, copied, tmp_path / "copied")
    carry(client, reference, made, ours, made, tmp_path / "there")
    carry(client, ours, made, reference, back, tmp_path / "back")
    copy = whole(reference, copied, tmp_path)
    assert_same(whole(ours, made, tmp_path), copy)
    assert_same(whole(reference, back, tmp_path), copy)
    assert_same(copy, as_the_tool_keeps(whole(reference, made, tmp_path)))


def as_the_tool_keeps(first: dict[str, Any]) -> dict[str, Any]:
    """It knows neither datasets nor logged models, ends all runs, leaves deleted ones.

    Who imports takes the place of who made a run. What MLflow 3 logs as a model is no
    file of its run, and stays behind; what MLflow 2 logs as one is carried.
    """
    kept = {name: run for name, run in first["runs"].items() if name != "gone"}
    assert len(kept) == len(first["runs"]) - 1 == 12
    for run in kept.values():
        run |= {"status": "FINISHED", "inputs": [], "outputs": 0, "user": "unknown"}
        run["tags"]["mlflow.user"] = getuser()
    return first | {"runs": kept}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert set(one["runs"]) == set(other["runs"])
    for name, run in one["runs"].items():
        for part, value in run.items():
            assert value == other["runs"][name][part], f"{part} of {name}"
    assert one == other

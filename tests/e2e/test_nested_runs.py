"""A program of runs below runs, with the client that these tests have anyway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.clients import EVERYDAY, Server, held, run_program
from tests.e2e.running import Platform

pytestmark = pytest.mark.e2e


def test_nested_runs_are_found_below_their_parents(
    platform: Platform, tmp_path: Path
) -> None:
    tenant = platform.make_tenant()
    server = Server(tenant.base_url, tenant.token)
    assert run_program(EVERYDAY, "nested_runs", server, tmp_path) == [
        "children ['fold 0', 'fold 1', 'fold 2']",
        "losses [0.2, 0.166667, 0.142857]",
    ]
    with server.client() as client:
        runs = {run["name"]: run for run in held(client, "nested")["runs"]}
    assert {name: run["parent"] for name, run in runs.items()} == {
        "parent": None,
        **{f"fold {number}": "parent" for number in range(3)},
        **{f"leaf of {number}": f"fold {number}" for number in range(3)},
    }
    assert set(runs["parent"]["files"]) == {
        "made/notes/größe.txt",
        "made/weights.bin",
        "settings.json",
    }
    assert [given[0] for given in runs["parent"]["inputs"]] == ["frame"]

"""Several workers: what a file makes once is made by one of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers import group_of

ROOT = Path(__file__).resolve().parents[1]
SAYING_WHERE = """
import os
import pytest

@pytest.mark.parametrize("number", range(6))
def test_where(number):
    print("{file} on", os.environ["PYTEST_XDIST_WORKER"])
"""
OPTIONS = "-n 2 --dist loadscope --no-loadscope-reorder -p no:django -rP".split()


def test_a_file_is_run_by_one_worker_when_there_are_two(tmp_path: Path) -> None:
    names = ("test_one.py", "test_two.py", "test_three.py")
    for name in names:
        (tmp_path / name).write_text(SAYING_WHERE.replace("{file}", name))
    command = [sys.executable, "-m", "pytest", "-p", "tests.workers", "-c", "/dev/null"]
    ran = subprocess.run(
        [*command, *OPTIONS, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in ran.stdout.splitlines() if " on gw" in line]
    assert len(said) == 6 * len(names), ran.stdout + ran.stderr
    assert len(set(said)) == len(names)


@pytest.mark.parametrize(
    "nodeid, group",
    [
        ("tests/e2e/test_train.py::test_one[a/b::c]", "tests/e2e"),
        ("tests/e2e/test_values.py::test_two", "tests/e2e"),
        ("tests/test_routes.py::test_one", "tests/test_routes.py"),
        ("mlops/tests/test_up.py::test_one[web]", "mlops/tests/test_up.py"),
    ],
)
def test_files_share_a_group_when_they_share_a_platform(nodeid: str, group: str):
    assert group_of(nodeid) == group

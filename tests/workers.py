"""Which of the workers of pytest-xdist runs what.

Not by its marks of groups: pytest-xdist 3.8 writes them into the names of tests, where
pytest 9.2 no longer looks, and every worker would make all that a file makes once.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Folders whose tests share one whole platform. Each other file is a group by itself.
PLATFORMS = ("tests/e2e", "tests/chaos")
# What takes longest begins first, so that no worker is left alone with it at the end.
LONGEST = (
    "tests/e2e",
    "mlops/tests/test_up.py",
    "tests/chaos",
)


def group_of(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    return folder if folder in PLATFORMS else file


class Groups(LoadScopeScheduling):
    """Give each worker a whole group at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        return LONGEST.index(group) if group in LONGEST else len(LONGEST)

    items.sort(key=rank)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare a sixth of the time: what is imported stays anyway, and tests leave little
    garbage that only a search finds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)

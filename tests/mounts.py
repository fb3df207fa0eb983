"""Every address under which MLflow's protocol is mounted: one case, asked at each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass(frozen=True)
class Mount:
    """What stands before an endpoint, and what a request to it carries besides."""

    name: str
    prefix: str
    headers: dict[str, str] = field(default_factory=dict)

    def url(self, endpoint: str) -> str:
        return f"{self.prefix}/{endpoint}"

    def __str__(self) -> str:
        return self.name


VERSIONS = ("api/2.0", "ajax-api/2.0", "api/3.0", "ajax-api/3.0")


def mounts(organization: str = "acme", project: str = "fraud") -> list[Mount]:
    """By token at the root, by path, and by workspace header, in each version."""
    found = []
    for version in VERSIONS:
        api = f"/{version}/mlflow"
        below = f"/mlflow/{organization}/{project}{api}"
        workspace = {"X-MLFLOW-WORKSPACE": project}
        found += [
            Mount(f"token {version}", api),
            Mount(f"path {version}", below),
            Mount(f"workspace {version}", api, workspace),
        ]
    return found


every_mount: Any = pytest.mark.parametrize("mount", mounts(), ids=str)


def mounts_for(number: int, found: list[Mount], *, every: bool) -> list[Mount]:
    """Return all, or two of them: others for each number, so all get their share."""
    if every:
        return found
    # Another version, and another way to say the project.
    step = len(found) // 2 + 1
    return [found[number % len(found)], found[(number + step) % len(found)]]


# Of many hostile texts each is sent to two mounts every day, and to all in the soak.
by_two_mounts_or_all: Any = pytest.mark.parametrize(
    "every",
    [False, pytest.param(True, marks=pytest.mark.soak)],
    ids=["two mounts", "every mount"],
)

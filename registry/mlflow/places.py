"""Where a client's path leads: a run, and a file or folder below its root."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.http import HttpRequest

from mlops.api.parsing import read_query
from mlops.errors import InvalidInput
from registry.mlflow.schema import missing
from registry.storage import ArtifactKey

# <experiment>/<run>/artifacts[/<key>]: nothing else below the root can be named.
BELOW_ROOT = re.compile(
    r"(0|[1-9][0-9]{0,17})/([A-Za-z0-9][A-Za-z0-9_-]{0,255})/artifacts(?:/(.*))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A run, perhaps its experiment's number, and the path below the run's root."""

    run_id: str
    path: str
    experiment: int | None = None

    @property
    def key(self) -> ArtifactKey:
        """Raises InvalidInput for the root: it is no file, and is never removed."""
        return ArtifactKey(self.path)

    @property
    def folder(self) -> str:
        """Raises InvalidInput unless it is the root or a key; "a/" is folder "a"."""
        if not self.path:
            return ""
        folder = self.path.removesuffix("/") if len(self.path) > 1 else self.path
        return ArtifactKey(folder).path


def place_below_root(path: str) -> Place:
    found = BELOW_ROOT.fullmatch(path)
    if not found:
        raise InvalidInput("Invalid path")
    return Place(found[2], found[3] or "", int(found[1]))


def place_in_run(request: HttpRequest) -> Place:
    query = read_query(request)
    run_id = query.get("run_id") or query.get("run_uuid")
    if not run_id:
        raise missing("run_id")
    return Place(run_id, query.get("path", ""))

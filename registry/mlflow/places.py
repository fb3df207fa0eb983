"""Where a client's path leads: a run or a logged model, and what lies below its root.

A place resolves to whose package it is: see registry/mlflow/holders.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.http import HttpRequest

from mlops.api.parsing import read_query
from mlops.errors import InvalidInput
from registry.mlflow.schema import missing
from registry.storage import ArtifactKey

# <experiment>/<run>/artifacts[/<key>] of a run, <experiment>/models/<model>/artifacts
# and so on of a logged model: nothing else below the root can be named.
BELOW_ROOT = re.compile(
    r"(?P<experiment>0|[1-9][0-9]{0,17})/"
    r"(?:(?P<run>[A-Za-z0-9][A-Za-z0-9_-]{0,255})|models/(?P<model>m-[0-9a-f]{32}))"
    r"/artifacts(?:/(?P<path>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A run or a logged model, perhaps its experiment's number, and the path below."""

    run_id: str
    path: str
    experiment: int | None = None
    model_id: str = ""

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
    return Place(
        found["run"] or "",
        found["path"] or "",
        int(found["experiment"]),
        found["model"] or "",
    )


def place_in_run(request: HttpRequest) -> Place:
    query = read_query(request)
    run_id = query.get("run_id") or query.get("run_uuid")
    if not run_id:
        raise missing("run_id")
    return Place(run_id, query.get("path", ""))


def place_in_model(request: HttpRequest, model_id: str) -> Place:
    path = read_query(request).get("artifact_file_path")
    if not path:
        raise missing("artifact_file_path")
    return Place("", path, model_id=model_id)

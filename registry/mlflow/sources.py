"""Where a model version comes from: the addresses that may be registered.

An address must lie where this server keeps the files of a run or a logged model, and
the request must name that run or model. So nobody registers what is not theirs to
read, and no reader of a version is led elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlops.errors import InvalidInput
from registry import refusals
from registry.mlflow.holders import find_logged_model
from registry.mlflow.views.runs import find_run
from registry.models import LoggedModel, ModelVersion, Package, Run
from registry.storage import ArtifactKey
from tenants.models import Project

OF_RUN = re.compile(r"runs:/([^/]*)(?:/(.*))?", re.DOTALL)
OF_MODEL = re.compile(r"models:/(m-[^/]*)", re.DOTALL)
MAX_SOURCE = 2048
MAX_VERSION = 2**31 - 1
DIGITS = re.compile(r"[0-9]{1,400}")


@dataclass(frozen=True, slots=True)
class Source:
    """An address that was found good, and what it is the address of."""

    address: str
    run: Run | None
    logged_model: LoggedModel | None

    @property
    def package(self) -> Package | None:
        """Read the package of the files; it may query."""
        holder = self.logged_model or self.run
        return holder.package if holder else None


def source_of(project: Project, address: str, run_id: str, model_id: str) -> Source:
    """Raises InvalidInput for an address elsewhere, NotFound for what it names."""
    if len(address) > MAX_SOURCE:
        raise InvalidInput(
            f"'source' exceeds the maximum length of {MAX_SOURCE} characters"
        )
    run = find_run(project, run_id) if run_id else None
    model = find_logged_model(project, model_id) if model_id else None
    if found := OF_MODEL.fullmatch(address):
        _demand_named(address, found[1], model_id, "model_id")
    elif found := OF_RUN.fullmatch(address):
        _demand_named(address, found[1], run_id, "run_id")
        _demand_key(address, found[2])
    elif model is not None:
        _demand_below(address, model.artifact_uri, "model_id")
    elif run is not None:
        _demand_below(address, run_root(run), "run_id")
    else:
        raise _elsewhere(address, "run_id")
    if model is not None:
        run = run or model.source_run
    return Source(address, run, model)


def location_of(version: ModelVersion) -> str:
    """Return where a client reads the files of a version; it may query."""
    if found := OF_RUN.fullmatch(version.source):
        assert version.run, "an address of a run was registered with it"
        return "/".join(part for part in (run_root(version.run), found[2]) if part)
    if version.logged_model and OF_MODEL.fullmatch(version.source):
        return version.logged_model.artifact_uri
    return version.source


def run_root(run: Run) -> str:
    """Return the address of a run's artifacts; it may query the experiment."""
    root = run.experiment.artifact_location.rstrip("/")
    return f"{root}/{run.pk.hex}/artifacts"


def version_number(value: object) -> int:
    """Read a version's number, which clients write as text or as a number."""
    if type(value) in (int, str) and DIGITS.fullmatch(str(value)):
        return min(int(str(value)), MAX_VERSION)
    raise InvalidInput(
        f"Parameter 'version' must be an integer, got '{refusals.shown(value)}'."
    )


def _demand_named(address: str, named: str, given: str, field: str) -> None:
    if not given or named != given:
        raise _elsewhere(address, field)


def _demand_below(address: str, root: str, field: str) -> None:
    """Compare whole segments: a root's name may begin another one's."""
    if address == root:
        return
    if not address.startswith(f"{root}/"):
        raise _elsewhere(address, field)
    _demand_key(address, address.removeprefix(f"{root}/"))


def _demand_key(address: str, path: str | None) -> None:
    try:
        if path:
            ArtifactKey(path)
    except InvalidInput:
        raise _elsewhere(address, "run_id") from None


def _elsewhere(address: str, field: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid model version source: '{refusals.shown(address)}'. The {field} "
        "request parameter must identify the resource that contains the source."
    )

"""Who holds the files of a place: a run or a logged model, and what may be done there.

The views of artifacts know nothing else of either, so each way of moving bytes serves
both.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from registry import refusals
from registry.mlflow.places import Place
from registry.models import LoggedModel
from registry.models.logged_models import MODEL_ID_PREFIX
from registry.services import logged_models, packages, runs
from registry.sql import packages as sql
from registry.sql.answers import run_key
from registry.sql.packages import FoundRun
from registry.storage import ArtifactKey, StoredBlob
from tenants.models import Project


class Holder(Protocol):
    """Raises InvalidInput where the holder is deleted, or a key clashes with a file."""

    @property
    def package(self) -> UUID | None: ...

    # False only where it is known that no limit of its own holds for the place.
    @property
    def is_limited(self) -> bool: ...

    def refuse_deleted(self) -> None: ...

    def attach(self, key: ArtifactKey, blob: StoredBlob) -> None: ...

    def remove(self, key: ArtifactKey) -> None: ...


class RunHolder:
    def __init__(self, found: FoundRun) -> None:
        self.run = found.run
        self.package = found.package
        self.is_limited = found.is_limited

    def refuse_deleted(self) -> None:
        runs.refuse_deleted(self.run)

    def attach(self, key: ArtifactKey, blob: StoredBlob) -> None:
        packages.attach_file(self.run, key=key, blob=blob)

    def remove(self, key: ArtifactKey) -> None:
        packages.remove_files(self.run, key=key)


class ModelHolder:
    is_limited = True

    def __init__(self, model: LoggedModel) -> None:
        self.model = model

    @property
    def package(self) -> UUID | None:
        found = self.model.package
        return found.pk if found else None

    def refuse_deleted(self) -> None:
        logged_models.refuse_deleted(self.model)

    def attach(self, key: ArtifactKey, blob: StoredBlob) -> None:
        logged_models.attach_file(self.model, key=key, blob=blob)

    def remove(self, key: ArtifactKey) -> None:
        logged_models.remove_files(self.model, key=key)


def holder_of(project: Project, place: Place) -> Holder:
    """Raises NotFound in the same words, whatever it is that does not fit."""
    if place.model_id:
        return ModelHolder(
            find_logged_model(project, place.model_id, experiment=place.experiment)
        )
    return RunHolder(find_run(project, place))


def find_run(project: Project, place: Place) -> FoundRun:
    key = run_key(place.run_id)
    found = sql.find_run(project, UUID(key)) if key else None
    if found is None or place.experiment not in (None, found.experiment):
        raise refusals.no_run(place.run_id)
    return found


def find_logged_model(
    project: Project,
    model_id: str,
    *,
    experiment: int | None = None,
    deleted: bool = False,
) -> LoggedModel:
    """Read the model and its experiment; a deleted one is found only on demand."""
    every = LoggedModel.objects
    models = every.with_deleted() if deleted else every.all()
    models = models.in_project(project.pk).select_related("experiment")
    if experiment is not None:
        models = models.filter(experiment__iid=experiment)
    key = model_key(model_id)
    model = models.filter(pk=key).first() if key else None
    if model is None:
        raise refusals.no_logged_model(model_id)
    return model


def model_key(model_id: str) -> UUID | None:
    """Return an id to look up; what is no id is not found, like any other."""
    key = run_key(model_id.removeprefix(MODEL_ID_PREFIX))
    return UUID(key) if key and model_id.startswith(MODEL_ID_PREFIX) else None

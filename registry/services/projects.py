"""What a project holds of the registry."""

from __future__ import annotations

from mlops.errors import InvalidState
from registry.models import Experiment, LoggedModel, Package, RegisteredModel, Run
from tenants.models import Project

# Of these, "Default" alone is in every project.
HELD = {
    "experiments": Experiment.objects.exclude(iid=0),
    "runs": Run.objects.all(),
    "registered models": RegisteredModel.objects.all(),
    "logged models": LoggedModel.objects.all(),
    "packages": Package.objects.live(),
}


def refuse_unless_empty(project: Project) -> None:
    """Raises InvalidState, naming what there is; what is deleted does not count."""
    for noun, rows in HELD.items():
        if rows.in_project(project.pk).exists():
            raise InvalidState(
                f"Cannot delete workspace '{project.slug}': it still contains {noun}."
                " Remove them before deleting the workspace."
            )

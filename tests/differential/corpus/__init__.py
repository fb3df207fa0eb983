"""The fixed corpus: scenes in their order, each leaving the others' names alone."""

from __future__ import annotations

from tests.differential.corpus import (
    artifacts,
    experiments,
    metrics,
    models,
    pages,
    runs,
    searches,
)

SCENES = tuple(
    scene
    for module in (experiments, runs, metrics, searches, artifacts, models, pages)
    for scene in module.SCENES
)

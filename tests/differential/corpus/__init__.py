"""The fixed corpus: scenes in their order, each leaving the others' names alone."""

from __future__ import annotations

from tests.differential.corpus import (
    artifacts,
    evaluation,
    experiments,
    metrics,
    models,
    pages,
    runs,
    searches,
)

MODULES = (
    experiments,
    runs,
    metrics,
    searches,
    artifacts,
    models,
    evaluation,
    pages,
)
SCENES = tuple(scene for module in MODULES for scene in module.SCENES)

"""The browser admin of the registry; importing it registers every model."""

from __future__ import annotations

from registry.admin import (
    deployments,
    evaluation_datasets,
    experiments,
    facts,
    logged_models,
    models,
    package_files,
    packages,
    protection,
    retention,
    runs,
    uploads,
)
from registry.admin.overview import overview

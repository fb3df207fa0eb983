"""The browser admin of the registry; importing it registers every model."""

from __future__ import annotations

from registry.admin import deployments, experiments, facts, models, packages, runs
from registry.admin.overview import overview

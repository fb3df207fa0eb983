"""Datasets of experiments as JSON text that PostgreSQL builds."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.db.hot import Bigints
from registry.sql.answers import admitted, ask
from tenants.callers import Caller

SEARCH_DATASETS = admitted("""
    registry_search_datasets(
        caller.organization_id, caller.project_id, %(experiments)b, %(limit)s)
""")


def search_datasets(caller: Caller, experiments: Sequence[int], *, limit: int) -> bytes:
    """Return each dataset once per context of its uses; unused ones are left out."""
    parameters = {"experiments": Bigints(experiments), "limit": str(limit)}
    return ask(SEARCH_DATASETS, caller, parameters)

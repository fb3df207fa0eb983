"""What the worker does for the registry by the clock."""

from __future__ import annotations

import logging

from mlops.jobs import every
from registry import storage

logger = logging.getLogger(__name__)


@every("*/5 * * * *")
def sweep_drafts(timestamp: int) -> None:
    if removed := storage.sweep_drafts():
        logger.info("swept %s drafts of uploads that never ended", removed)

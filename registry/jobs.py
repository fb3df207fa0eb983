"""What the worker does for the registry by the clock."""

from __future__ import annotations

import logging

from django.utils import timezone

from mlops.jobs import every
from registry import storage
from registry.services import cleanup, uploads
from registry.services.scopes import scopes
from tenants.context import Actor
from tenants.unscoped import every_organization

logger = logging.getLogger(__name__)


CLEAN_UP = "job:clean_up_packages"


@every("23 2 * * *")
def clean_up_packages(timestamp: int) -> None:
    """Let packages go by the rules of their projects; each step commits by itself."""
    cutoffs, tally = cleanup.Cutoffs.at(timezone.now()), cleanup.Tally()
    for scope in scopes(CLEAN_UP):
        bound = scope.bound_as(CLEAN_UP, reason="retention rules")
        for _ in cleanup.clean_up(scope, tally, cutoffs, bound):
            pass
    logger.info(
        "cleaned up: %s packages marked, %s destroyed, %s blobs removed",
        tally.marked,
        tally.destroyed,
        tally.blobs,
    )


@every("*/5 * * * *")
def sweep_drafts(timestamp: int) -> None:
    if removed := storage.sweep_drafts():
        logger.info("swept %s drafts of uploads that never ended", removed)


SWEEP_UPLOADS = Actor(kind="job", label="sweep_uploads")


@every("37 * * * *")
def sweep_uploads(timestamp: int) -> None:
    """Forget uploads in parts that nobody has completed for a day."""
    rows = 0
    while swept := delete_stale_uploads():
        rows += swept
    staged = uploads.sweep_staged()
    if rows or staged:
        logger.info("swept %s uploads and the bytes of %s", rows, staged)


def delete_stale_uploads() -> int:
    with every_organization(SWEEP_UPLOADS, reason="uploads older than a day"):
        return uploads.delete_stale()

"""What the worker does for the registry by the clock."""

from __future__ import annotations

import logging

from django.utils import timezone

from mlops.errors import Unavailable
from mlops.jobs import every
from registry import storage
from registry.services import cleanup, purging, uploads
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


PURGE = "job:purge"


# Often, for what somebody has asked to be purged at once.
@every("*/10 * * * *")
def purge_deleted(timestamp: int) -> None:
    """Remove for good what may no longer be restored."""
    asked, tally = purging.Asked(timezone.now()), purging.Tally()
    with every_organization(Actor(kind="job", label="purge"), reason="what is due"):
        owners = purging.now_due(asked.now)
    for scope in (each for each in scopes(PURGE) if each.organization in owners):
        bound = scope.bound_as(PURGE, reason="what was deleted long enough ago")
        try:
            with purging.alone(scope):
                for _ in purging.purge(scope, tally, asked, bound):
                    pass
        except Unavailable as error:
            logger.warning("not purged: %s: %s", scope.slug, error)
    if tally.on_hold:
        logger.warning("on legal hold, nothing purged: %s", ", ".join(tally.on_hold))
    if tally.rows:
        logger.info("purged: %s", dict(tally.rows))


@every("29 3 * * *")
def plan_purges(timestamp: int) -> None:
    """Date what was deleted by other hands than ours."""
    for scope in scopes(PURGE):
        with scope.bound_as(PURGE, reason="dating deletions")():
            purging.plan_undated(scope)


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

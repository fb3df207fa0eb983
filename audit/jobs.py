"""What the worker does for the trail by the clock."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from django.conf import settings
from django.db import connections

from audit import anchors, archiving, sealing
from audit.archives import Damaged
from audit.verification import LATE
from mlops.jobs import every, forget_finished

logger = logging.getLogger(__name__)

# A queue of its own: its jobs come every few seconds, and are forgotten within hours.
QUEUE = "seals"


@every("* * * * * */5", queue=QUEUE)
def seal_entries(timestamp: int) -> None:
    """Seal what was committed; nothing is lost when a run is missed or fails."""
    connection = connections[settings.ADMIN_ALIAS]
    done = sealing.seal_all(connection)
    if done.entries > sealing.MOST:
        logger.info("sealed a backlog of %s entries", done.entries)


@every("* * * * *", queue=QUEUE)
def look_for_lateness(timestamp: int) -> None:
    late = sealing.lag(connections[settings.ADMIN_ALIAS])
    if late > LATE:
        logger.warning(
            "audit entries wait to be sealed since %.0f s: a transaction may be open"
            " for as long, or the sealer fails",
            late.total_seconds(),
        )


@every("7 * * * *", queue=QUEUE)
def anchor_seals(timestamp: int) -> None:
    for told in anchors.anchor_all(connections[settings.ADMIN_ALIAS]):
        if told.chains:
            logger.info("anchored %s chains at %s", told.chains, told.place)


# Daily although a month is due once in a month: a worker may be down for a day.
@every("23 4 * * *")
def archive_due_months(timestamp: int) -> None:
    """Write away what is kept no longer; letting go of it is an operator's command."""
    connection = connections[settings.ADMIN_ALIAS]
    for month, outcome in archiving.archive_due(connection, datetime.now(UTC)):
        if isinstance(outcome, Damaged):
            logger.error("audit month %s: %s", month, outcome)
        else:
            logger.info("audit month %s: %s", month, outcome)


# Sealing alone adds 17,000 jobs a day.
forget_finished(QUEUE, cron="19 * * * *", after_hours=1)

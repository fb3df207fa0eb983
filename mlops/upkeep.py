"""What the worker does for the database by the clock."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from django.core.management import call_command
from django.db import connections

from mlops.db import partitions, throttling
from mlops.jobs import every

logger = logging.getLogger(__name__)


# Hourly although months are made four ahead: a worker that was down at the one due
# moment of a longer schedule would miss it.
@every("13 * * * *")
def keep_partitions_ahead(timestamp: int) -> None:
    """Make the months that are missing; retiring is an operator's command."""
    for step in make_missing_months(datetime.now(UTC)):
        logger.info("partition %s: %s", step.partition, step.state)


def make_missing_months(now: datetime) -> list[partitions.Step]:
    owner = connections["owner"]
    try:
        return [step for policy in partitions.policies() for step in _make(policy, now)]
    finally:
        owner.close()


def _make(policy: partitions.Policy, now: datetime) -> list[partitions.Step]:
    owner = connections["owner"]
    planned = partitions.plan(owner, policy, now)
    missing = [step for step in planned if step.action == "create"]
    return partitions.apply(owner, missing)


@every("*/10 * * * *")
def forget_full_throttles(timestamp: int) -> None:
    """Delete the buckets that nobody has taken from for long enough."""
    throttling.sweep()


@every("41 3 * * *")
def forget_ended_sessions(timestamp: int) -> None:
    call_command("clearsessions")

"""What the worker does for tenants by the clock."""

from __future__ import annotations

import logging

from mlops.jobs import every
from tenants import idempotency
from tenants.context import Actor
from tenants.unscoped import every_organization

logger = logging.getLogger(__name__)

FORGET_KEYS = Actor(kind="job", label="forget_idempotency_keys")


@every("51 * * * *")
def forget_idempotency_keys(timestamp: int) -> None:
    with every_organization(FORGET_KEYS, reason="idempotency keys older than a day"):
        forgotten = idempotency.forget_old()
    if forgotten:
        logger.info("forgot %s idempotency keys", forgotten)

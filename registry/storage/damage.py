"""Bytes that the store has lost or spoilt: in the log, and in the trail of their owner.

The entry has a transaction of its own: bytes flow after the request's is over. Once a
minute per blob, or who downloads it again and again would fill the trail.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.apps import apps
from django.db import DatabaseError

from mlops import throttles
from mlops.errors import TooManyRequests
from tenants.context import Actor, record, tenant_transaction

logger = logging.getLogger(__name__)

ACTION = "blob.damaged"


def tell_of_damage(organization: UUID, sha256: str, problem: str) -> None:
    """An alarm that cannot be recorded must not hide what it is about."""
    logger.error("blob %s of organization %s %s", sha256, organization, problem)
    try:
        throttles.take("damaged_blob", f"{organization} {sha256}")
        with tenant_transaction(Actor("system", label="store"), organization):
            # Not imported: the store works, and is tested, without any app loaded.
            blobs = apps.get_model("registry", "Blob")._default_manager
            blob = blobs.filter(sha256=sha256).first()
            record(
                ACTION, target=blob, outcome="failed", sha256=sha256, problem=problem
            )
    except TooManyRequests:
        pass
    except DatabaseError:
        logger.exception("The damage of blob %s could not be recorded.", sha256)

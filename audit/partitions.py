from __future__ import annotations

from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

from audit.operations import STAYS, no_truncate
from mlops.db.partitions import Policy


def held(connection: BaseDatabaseWrapper, start: datetime, end: datetime) -> str:
    """Keep every month: the trail goes only sealed, exported and free of legal hold."""
    return "audit months stay until they are sealed, exported and free of legal hold"


# 400 days are what auditors ask for; 14 months are never less.
POLICIES = [
    Policy(
        "audit_logs",
        keep_months=14,
        owner="audit_owner",
        held=held,
        # A month inherits its parent's triggers of rows, not those of statements.
        also=tuple(no_truncate("{partition}", STAYS).values()),
    )
]

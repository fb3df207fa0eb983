from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.archives import Month, reading_connection, why_held
from audit.operations import STAYS, no_truncate
from audit.sql.archives import DROPPING
from mlops.db.partitions import Policy


def held(connection: BaseDatabaseWrapper, start: datetime, end: datetime) -> str:
    """Keep a month until it is sealed, archived and free of legal hold."""
    return why_held(reading_connection(), Month(start))


POLICIES = [
    Policy(
        "audit_logs",
        keep_months=settings.AUDIT_KEEP_MONTHS,
        owner="audit_owner",
        held=held,
        # A month inherits its parent's triggers of rows, not those of statements.
        also=tuple(no_truncate("{partition}", STAYS).values()),
        dropping=DROPPING,
    )
]

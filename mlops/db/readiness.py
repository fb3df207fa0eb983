"""What a load balancer wants to know of the database, in one statement."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

READY = """
SELECT current_user::text,
       to_regclass('public.django_migrations') IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Readiness:
    role: str
    is_migrated: bool


def read() -> Readiness:
    """Raises DatabaseError while the database does not answer."""
    with connection.cursor() as cursor:
        cursor.execute(READY)
        return Readiness(*cursor.fetchone())

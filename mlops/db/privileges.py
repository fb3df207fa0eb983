"""Is the second lock in force? Who owns a table, or may pass row-level security, is not
held by it; neither is anybody by a table that was never protected.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)

# Tables of tenants are those with an organization_id. Partitions are left out: nobody
# has a grant on them, all access goes through their parent.
STANDING = """
WITH tenant_tables AS (
    SELECT c.oid, c.relname, c.relowner,
           c.relrowsecurity AND c.relforcerowsecurity
           AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) AS is_protected
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
                       AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace
      AND c.relkind IN ('r', 'p') AND NOT c.relispartition
)
SELECT r.rolname::text, r.rolsuper, r.rolbypassrls,
       coalesce((SELECT array_agg(relname::text ORDER BY relname) FROM tenant_tables
                 WHERE pg_has_role(r.oid, relowner, 'MEMBER')), '{}'),
       coalesce((SELECT array_agg(relname::text ORDER BY relname) FROM tenant_tables
                 WHERE NOT is_protected), '{}')
FROM pg_roles r WHERE r.rolname = current_user
"""
NAMED = 5


@dataclass(frozen=True, slots=True)
class Standing:
    """What the connection's role could do past row-level security."""

    role: str
    is_superuser: bool
    bypasses: bool
    owned: list[str]
    unprotected: list[str]

    @property
    def problems(self) -> list[str]:
        return list(self._problems())

    def _problems(self) -> Iterator[str]:
        if self.is_superuser:
            yield f"the role {self.role} is a superuser"
        elif self.bypasses:
            yield f"the role {self.role} has BYPASSRLS"
        elif self.owned:
            yield f"the role {self.role} may act as the owner of {_some(self.owned)}"
        if self.unprotected:
            yield f"row-level security is not forced on {_some(self.unprotected)}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def standing(connection: BaseDatabaseWrapper) -> Standing:
    """Read one statement of the catalog. Raises DatabaseError without an answer."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING)
        return Standing(*cursor.fetchone())


def durability(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Read the settings without which an acknowledged write may be lost."""
    names = ("fsync", "synchronous_commit", "full_page_writes")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(names)]
        )
        return dict(cursor.fetchall())


class Watch:
    """Looks at the web's connection once; again only if the database was away."""

    def __init__(self) -> None:
        self.is_done = False
        self.problems: list[str] = []

    def look(self) -> None:
        """Raises ImproperlyConfigured for a role that the second lock does not hold.

        With ALLOW_PRIVILEGED_DB=1 that is a warning, and /health/ready says "bypassed".
        Raises DatabaseError while the database does not answer.
        """
        self.problems = standing(connections["default"]).problems
        if self.problems:
            self._complain("; ".join(self.problems))
        self.is_done = True

    def _complain(self, problems: str) -> None:
        found = f"The database's second lock does not hold: {problems}."
        if not settings.ALLOW_PRIVILEGED_DB:
            raise ImproperlyConfigured(
                f"{found} Let DATABASE_URL name app_rw (manage.py bootstrap_roles makes"
                " it), or set ALLOW_PRIVILEGED_DB=1 to serve with one lock only."
            )
        logger.warning("%s Serving with one: ALLOW_PRIVILEGED_DB=1.", found)

    def look_at_start(self) -> None:
        """Let a process start while the database is away: the first request looks."""
        try:
            self.look()
        except DatabaseError as error:
            logger.warning("The role of the database is not known yet: %s", error)
        finally:
            connections.close_all()


watch = Watch()

"""Django's PostgreSQL backend with a pool that knows when the database is gone."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base

from mlops.db.pool import Pool


class DatabaseWrapper(base.DatabaseWrapper):
    """Differs in `pool` alone: Django makes psycopg's own, and names no hook for it."""

    _connection_pools: dict[str, Pool] = {}

    @property
    def pool(self) -> Pool | None:
        options: dict[str, Any] | None = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        if self.alias not in self._connection_pools:
            if self.settings_dict["CONN_MAX_AGE"] != 0:
                raise ImproperlyConfigured("A pool needs CONN_MAX_AGE = 0.")
            made = Pool(
                kwargs={**self.get_connection_params(), "autocommit": True},
                open=False,
                configure=self._configure_connection,  # type: ignore[attr-defined]
                **options,
            )
            # The first of several threads wins; the other pool was never opened.
            self._connection_pools.setdefault(self.alias, made)
        return self._connection_pools[self.alias]

"""A pool of connections that fails at once while the database is gone.

psycopg's own pool lets each caller wait for all of its time-out, and after a minute
without a database tries again only every half-minute and later. Here the first failure
shuts the door: callers are refused at once, and twice a second one of them is let
through to try. So threads do not pile up, and the first request after the database's
return is served.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from psycopg import Connection, OperationalError
from psycopg_pool import ConnectionPool

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
# Dead connections come in flocks: once in so long one of them speaks for all.
FLOCK_SECONDS = 1.0


class DatabaseGone(OperationalError):
    """The database did not answer just now; it is tried again twice a second."""


class Pool(ConnectionPool[Connection[Any]]):
    """Looks at each connection before it lends it."""

    def __init__(self, **options: Any) -> None:
        self._door = threading.Lock()
        self._gone = False
        self._reason = ""
        self._tried_at = 0.0
        self._drained_flock_at = 0.0
        # Without its ladder of attempts: whoever comes next is the next attempt.
        super().__init__(check=self._look_at, reconnect_timeout=0.0, **options)

    def getconn(self, timeout: float | None = None) -> Connection[Any]:
        """Raises DatabaseGone at once while nobody has got through."""
        if self._gone:
            self._knock()
        return super().getconn(timeout)

    def _knock(self) -> None:
        """Let one caller through twice a second, to try."""
        with self._door:
            now = time.monotonic()
            if now - self._tried_at < RETRY_SECONDS:
                raise DatabaseGone(self._reason)
            self._tried_at = now

    def _look_at(self, connection: Connection[Any]) -> None:
        """Raises OperationalError for a dead one, and lets go of all that idle."""
        try:
            self.check_connection(connection)
        except OperationalError:
            now = time.monotonic()
            if now - self._drained_flock_at > FLOCK_SECONDS:
                self._drained_flock_at = now
                self.drain()
            raise

    def _connect(self, timeout: float | None = None) -> Connection[Any]:
        try:
            connection = super()._connect(timeout)
        except Exception as error:
            self._reason = str(error)
            raise
        if self._gone:
            logger.warning("%s: the database is back.", self.name)
        self._gone = False
        return connection

    def reconnect_failed(self) -> None:
        """Shut the door when not one connection is left, and send those home who wait.

        With some left the next to come back is soon theirs.
        """
        super().reconnect_failed()
        with self._lock:
            if self._nconns > 0:
                return
            waiting = list(self._waiting)
            self._waiting.clear()
            was_gone, self._gone = self._gone, True
            self._tried_at = time.monotonic()
        if not was_gone:
            logger.error("%s: the database is gone: %s", self.name, self._reason)
        for caller in waiting:
            caller.fail(DatabaseGone(self._reason))

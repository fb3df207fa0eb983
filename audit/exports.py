"""The trail as a file of any length, in constant memory, one at a time.

Pages are read by keyset, oldest first, each in a short transaction of its own, so a
slow reader holds neither a snapshot nor a connection. An export ends with the entries
that were there when it began.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, models

from audit.lines import COLUMNS, FORMATS, Entry, columns_of
from audit.models import AuditLog
from audit.selections import Selection, selection_of
from mlops.db.locks import lock_beside_pool
from mlops.errors import Conflict, DomainError, InvalidInput, Unavailable
from tenants.context import acting, record

logger = logging.getLogger(__name__)

PAGE = 1000
# What no index finds is looked for among so many entries at a time.
STEP = 10_000
ID = COLUMNS.index("id")
RUNNING = "An export of this organization's trail is running; wait until it has ended."


class Export:
    """One export; `within` opens a transaction bound to whose trail it is.

    Iterate over it once for its bytes, and close it in any case: the trail then says
    how many rows went out.
    """

    def __init__(
        self,
        within: Callable[[], AbstractContextManager[Any]],
        values: Mapping[str, str],
        written: str,
        whole: Callable[[], Any] = AuditLog.objects.all,
    ) -> None:
        if written not in FORMATS:
            raise InvalidInput(f"format={written[:50]!r}: use csv or jsonl.")
        self.within = within
        self.whole = whole
        self.values = {name: value for name, value in values.items() if value}
        self.format = written
        self.count = 0
        self._began = datetime.now(UTC)
        self._target: models.Model | None = None
        self._held = ExitStack()
        self._is_told = False

    def start(self, *, using: str, owner: str, target: models.Model | None) -> None:
        """Record that it begins. Raises Conflict while another one runs."""
        self._target = target
        try:
            self._held.enter_context(lock_beside_pool(using, f"audit-export:{owner}"))
        except Unavailable:
            raise Conflict(RUNNING) from None
        try:
            with self.within():
                self._selected()
                self._record("audit.export_started", filters=self.values)
        except BaseException:
            self._held.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        written = FORMATS[self.format]
        if written.head:
            yield written.head
        for entries in self._pages():
            self.count += len(entries)
            yield written.write(entries)
        with self.within():
            self._record("audit.exported", rows=self.count)
        self._is_told = True

    def close(self) -> None:
        """Let go of it; one that was broken off is told of as failed."""
        try:
            if not self._is_told:
                self._is_told = True
                self._tell_failure()
        finally:
            self._held.close()

    def _tell_failure(self) -> None:
        try:
            with self.within():
                self._record("audit.exported", outcome="failed", rows=self.count)
        except (DomainError, DatabaseError):
            logger.warning("An export that broke off could not be recorded.")

    def _record(self, action: str, *, outcome: str = "ok", **details: Any) -> None:
        details["format"] = self.format
        record(action, target=self._target, outcome=outcome, **details)

    def _selected(self) -> Selection:
        rows = self._whole().visible_to(acting())
        return selection_of(self.values, rows)

    def _whole(self) -> Any:
        return self.whole().until(self._began)

    def _pages(self) -> Iterator[list[Entry]]:
        after: UUID | None = None
        while True:
            with self.within():
                entries, after = self._page(after)
            if entries:
                yield entries
            if after is None:
                return

    def _page(self, after: UUID | None) -> tuple[list[Entry], UUID | None]:
        """Return a page, and behind which id the next begins; None: it was the last."""
        selection = self._selected()
        rows, last = behind(selection.qs, after), None
        looked_through = selection.looked_through(self._whole(), acting())
        if looked_through is not None:
            last = last_of_step(behind(looked_through, after))
            rows = rows.filter(id__lte=last) if last else rows
        entries = list(columns_of(rows.order_by("id"))[:PAGE])
        if len(entries) == PAGE:
            return entries, entries[-1][ID]
        return entries, last


def behind(rows: Any, after: UUID | None) -> Any:
    return rows if after is None else rows.filter(id__gt=after)


def last_of_step(rows: Any) -> UUID | None:
    """Return where the next so many entries end, if there are that many."""
    ids = rows.order_by("id").values_list("id", flat=True)
    return next(iter(ids[STEP - 1 : STEP]), None)

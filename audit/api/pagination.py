from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.request import Request

from mlops.api.pagination import KeysetPagination

# What one page looks at to find what no index finds: some 10 ms of work.
LOOKED_AT = 10_000


class TrailPagination(KeysetPagination):
    """Looks at so many entries a page at most, and then says where it stopped.

    A page may so be short, or empty, and yet have a next one.
    """

    stopped_at: UUID | None = None

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any]:
        self.read_keyset(request, view)
        looked_through = getattr(view, "looked_through", None)
        if looked_through is not None:
            rows = self.behind_cursor(looked_through)
            self.stopped_at = rows.oldest_of_newest(LOOKED_AT)
        if self.stopped_at is not None:
            queryset = queryset.filter(id__gte=self.stopped_at)
        page = super().paginate_queryset(queryset, request, view)
        if self.has_next:
            self.stopped_at = None
        self.has_next = self.has_next or self.stopped_at is not None
        return page

    def last_values(self) -> list[Any]:
        return [str(self.stopped_at)] if self.stopped_at else super().last_values()

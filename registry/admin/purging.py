"""The action that asks for what nothing brings back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from registry.services.purges import ask_to_purge


class Purgeable:
    """Rows that may be purged before their time, one by one."""

    actions: Iterable[str] = ("delete_rows", "restore_rows", "purge_row")

    @display(description="Purge selected for good")
    def purge_row(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act_on_one(  # type: ignore[attr-defined]
            request,
            queryset,
            purge,
            doing="Purge",
            done="goes with the next purge, some minutes from now",
            consequence="It and all that is below it goes for good. It must be deleted"
            " already, and nothing that stays may refer to it.",
        )


def purge(row: Any, confirm: str) -> None:
    ask_to_purge(row, confirm=confirm)

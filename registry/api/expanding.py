from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Prefetch
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from mlops.errors import InvalidInput

EXPANSIONS = ("package", "params", "metrics", "tags")
EXPAND = OpenApiParameter(
    "expand",
    OpenApiTypes.STR,
    description=f"Which of {', '.join(EXPANSIONS)} to add, by commas; in a list"
    " package if left out, else all of them. What is left out costs nothing.",
)


class ExpandMixin:
    """`?expand=` chooses what comes along; each costs as much for any number of rows.

    `expansions` says for each of EXPANSIONS what to prefetch; the serializer has a
    field of each name.
    """

    expansions: ClassVar[dict[str, Prefetch | str]]

    def get_queryset(self: Any) -> Any:
        wanted = [self.expansions[name] for name in self.expanded()]
        return super().get_queryset().prefetch_related(*wanted)  # type: ignore[misc]

    def get_serializer(self: Any, *args: Any, **kwargs: Any) -> Any:
        serializer: Any = super().get_serializer(*args, **kwargs)  # type: ignore[misc]
        fields = getattr(serializer, "child", serializer).fields
        for name in set(self.expansions) - set(self.expanded()):
            fields.pop(name)
        return serializer

    def expanded(self: Any) -> list[str]:
        if self.action != "list" and self.action != "retrieve":
            return list(self.expansions)
        text = self.request.query_params.get("expand")
        if text is None:
            return ["package"] if self.action == "list" else list(self.expansions)
        names = [name for name in text.split(",") if name]
        if unknown := set(names) - set(self.expansions):
            raise InvalidInput(
                f"expand={text[:50]!r}: {min(unknown)[:50]!r} is none of"
                f" {', '.join(self.expansions)}."
            )
        return list(dict.fromkeys(names))

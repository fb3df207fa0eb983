"""What the description of REST cannot read from the serializers."""

from __future__ import annotations

from typing import Any

from registry.api.expanding import EXPANSIONS

EXPANDED = ("Run", "LoggedModel")


def expansions_are_optional(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Serve drf-spectacular as a hook: `expand` may leave any of them out of a row."""
    for name in EXPANDED:
        schema = result["components"]["schemas"][name]
        schema["required"] = [
            field for field in schema["required"] if field not in EXPANSIONS
        ]
    return result

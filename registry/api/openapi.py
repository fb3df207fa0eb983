"""What the description of REST cannot read from the serializers."""

from __future__ import annotations

from typing import Any

from registry.api.viewsets import EXPANSIONS


def expansions_are_optional(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Serve drf-spectacular as a hook: `expand` may leave any of them out of a run."""
    run = result["components"]["schemas"]["Run"]
    run["required"] = [name for name in run["required"] if name not in EXPANSIONS]
    return result

"""Slugs: the parts of addresses that organizations and projects are found by."""

from __future__ import annotations

import re

from mlops.errors import InvalidInput
from tenants.models.organizations import SLUG_PATTERN, valid_slug


def checked_slug(slug: str) -> str:
    """Raises InvalidInput unless the text can stand in an address."""
    # fullmatch, because "$" alone lets a line break pass at the end.
    if not re.fullmatch(SLUG_PATTERN.strip("^$"), slug):
        raise InvalidInput(f"slug={slug[:80]!r}: {valid_slug.message}")
    return slug

"""Where an experiment's artifacts may go, if not where this server keeps them.

Whoever logs to the experiment sends files to its location with its own keys, so a
location is a place that an operator has allowed to the organization, or none at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from mlops.errors import InvalidInput
from registry.mlflow.rules import CONTROL, MAX_LOCATION
from registry.mlflow.schema import invalid
from registry.refusals import shown
from registry.storage import ArtifactKey
from tenants.context import acting

OURS = frozenset({"", "mlflow-artifacts:", "mlflow-artifacts:/"})
ELSEWHERE = (
    "This server keeps the artifacts itself: leave it out. An operator may allow other"
    " places by ARTIFACT_LOCATIONS."
)


def location_asked(uri: str) -> str:
    """Return the location, "" for our own. Raises InvalidInput for any other place."""
    if len(uri) > MAX_LOCATION:
        raise InvalidInput(
            "Invalid artifact path length. The length of the artifact path cannot be "
            f"greater than {MAX_LOCATION} characters."
        )
    if CONTROL.search(uri):
        raise invalid("artifact_location", uri, "It holds control characters.")
    if uri.startswith("runs:"):
        raise InvalidInput(
            f"Artifact location cannot be a runs:/ URI. Given: '{shown(uri)}'"
        )
    if "#" in uri or "?" in uri:
        raise InvalidInput("'artifact_location' URL can't include fragments or params.")
    if uri in OURS:
        return ""
    if not any(is_below(uri, prefix) for prefix in allowed_prefixes()):
        raise invalid("artifact_location", uri, ELSEWHERE)
    return uri


def allowed_prefixes() -> Iterator[str]:
    """Read "acme=s3://bucket/acme" of the caller's organization; "*" is any."""
    for entry in settings.ARTIFACT_LOCATIONS:
        organization, _, prefix = entry.partition("=")
        if organization in ("*", acting().organization):
            yield prefix.rstrip("/")


def is_below(uri: str, prefix: str) -> bool:
    """Compare whole segments, and take nothing that could climb out again."""
    if uri.rstrip("/") == prefix:
        return True
    if not prefix or not uri.startswith(f"{prefix}/"):
        return False
    try:
        ArtifactKey(uri.removeprefix(f"{prefix}/").removesuffix("/"))
    except InvalidInput:
        return False
    return True

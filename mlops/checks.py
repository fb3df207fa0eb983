"""Start-up checks of the settings that an installation may get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DEFAULT_DB_ALIAS, connections

from mlops.db.privileges import durability, standing


@register(Tags.security, deploy=True)
def measuring_is_off(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """Statement counts and the toolbar tell a caller what exists and what does not."""
    problems: list[CheckMessage] = []
    if settings.QUERY_HEADER:
        problems.append(
            Error("MLOPS_QUERY_HEADER=1 is for development.", id="mlops.E001")
        )
    if settings.TOOLBAR:
        problems.append(Error("DEBUG_TOOLBAR=1 is for development.", id="mlops.E002"))
    return problems


@register(Tags.security, deploy=True)
def proxy_is_declared(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """X-Forwarded-Proto is believed only where TRUSTED_PROXIES says who sends it."""
    if settings.SECURE_PROXY_SSL_HEADER and not settings.TRUSTED_PROXIES:
        return [Error("Set TRUSTED_PROXIES.", id="mlops.E003")]
    return []


@register(Tags.security, deploy=True)
def files_are_apart(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """What is served to everybody must not hold what people have uploaded."""
    static, blobs = Path(settings.STATIC_ROOT), Path(settings.MEDIA_ROOT)
    if static in (blobs, *blobs.parents) or blobs in static.parents:
        return [Error(f"BLOB_ROOT={blobs} and STATIC_ROOT overlap.", id="mlops.E004")]
    return []


@register(Tags.database)
def database_keeps_its_promises(
    app_configs: Any, databases: Sequence[str] | None = None, **options: Any
) -> list[CheckMessage]:
    """Asked of the connection that serves requests: `check --database default`."""
    return list(_broken_promises()) if DEFAULT_DB_ALIAS in (databases or ()) else []


def _broken_promises() -> Iterator[CheckMessage]:
    connection = connections[DEFAULT_DB_ALIAS]
    kind = checks.Warning if settings.ALLOW_PRIVILEGED_DB else Error
    for problem in standing(connection).problems:
        yield kind(f"The second lock does not hold: {problem}.", id="mlops.E005")
    for name, value in durability(connection).items():
        if value == "off":
            yield Error(
                f"{name}=off: what a client was told is stored may be lost.",
                hint=f"Set {name}=on in postgresql.conf.",
                id="mlops.E006",
            )

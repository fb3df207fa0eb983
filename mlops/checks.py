"""Start-up checks of the settings that an installation may get wrong."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


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

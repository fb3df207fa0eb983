"""Is the process alive, and may it be sent requests?"""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from mlops.db import readiness
from mlops.db.privileges import watch


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    return HttpResponse("OK", content_type="text/plain")


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when the database answers, is migrated and its role bound, else 503."""
    try:
        found = readiness.read()
        if not watch.is_done:
            watch.look()
    except DatabaseError as error:
        return _unready(f"database: {type(error).__name__}")
    except ImproperlyConfigured:
        return _unready("database: row-level security does not bind its role")
    if not found.is_migrated:
        return _unready("database: not migrated")
    return JsonResponse(
        {
            "status": "degraded" if watch.problems else "ok",
            "database": "ok",
            "role": found.role,
            "rls": "bypassed" if watch.problems else "enforced",
        }
    )


def _unready(reason: str) -> JsonResponse:
    response = JsonResponse({"status": "unavailable", "reason": reason}, status=503)
    response["Retry-After"] = "1"
    return response


# Nobody signs in to ask whether the house stands.
live.public = ready.public = True  # type: ignore[attr-defined]

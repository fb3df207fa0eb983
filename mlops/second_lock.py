"""No request is served before it is known that row-level security binds its role."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponseBase

from mlops.api.exceptions import response_of
from mlops.db.privileges import watch
from mlops.errors import Unavailable

logger = logging.getLogger(__name__)
# They say themselves what is wrong.
HEALTH = "/health/"


class SecondLockMiddleware:
    """Costs one look at a flag once the database has answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if watch.is_done or request.path.startswith(HEALTH):
            return self.get_response(request)
        try:
            watch.look()
        except (DatabaseError, ImproperlyConfigured) as error:
            logger.critical("Not serving: %s", error)
            return response_of(Unavailable())
        return self.get_response(request)

"""Has this person signed in, or proved it again, just now?"""

from __future__ import annotations

import time

from allauth.account.internal.flows.login import get_authentication_records
from django.conf import settings
from django.http import HttpRequest

from mlops.errors import Forbidden
from tenants.models import User


def demand_recent_sign_in(request: HttpRequest, person: User, doing: str) -> None:
    """Raises Forbidden unless the session's last sign-in is a few minutes old."""
    limit = settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    records = get_authentication_records(request, person)
    age = time.time() - max((record["at"] for record in records), default=0)
    if age > limit:
        raise Forbidden(
            f"{doing} needs a sign-in of the last {limit // 60} minutes; sign in again,"
            " or confirm who you are at /accounts/reauthenticate/, and try again."
        )

"""What happens to sessions and second factors, entered in the trail.

Signals are the only way: allauth writes no row for most of it and offers no other hook.
The entries belong to no organization: one signs in to the platform, and whoever is in
two organizations would show each of them what they do in the other.
"""

from __future__ import annotations

import time
from typing import Any

from allauth.account import signals as account_signals
from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa import signals as second_factor_signals
from allauth.usersessions.models import UserSession
from django.contrib.auth.signals import user_logged_out
from django.db import DEFAULT_DB_ALIAS, transaction
from django.dispatch import receiver
from django.http import HttpRequest

from mlops.addresses import client_address, prefix_of
from mlops.browsers import BEGAN, SEEN
from mlops.telemetry import line_of
from tenants import sql
from tenants.context import Actor, binding, record
from tenants.models import User

OUTCOMES = {
    "user.sign_in_failed": "failed",
    "user.second_factor_failed": "failed",
    "user.locked_out": "denied",
}


def enter(
    action: str,
    request: HttpRequest,
    *,
    target: User | None,
    by: User | None = None,
    **details: Any,
) -> None:
    """Record in the page's transaction if there is one, else in one of its own."""
    actor = Actor("user", by.pk, by.get_username()) if by else Actor("anonymous")
    request_line = line_of(request)
    with transaction.atomic(), binding(None, actor):
        sql.bind(DEFAULT_DB_ALIAS, "", str(actor), request_line, "")
        outcome = OUTCOMES.get(action, "ok")
        record(action, target=target, outcome=outcome, **details)


@receiver(account_signals.user_logged_in)
def signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    request.session[BEGAN] = request.session[SEEN] = int(time.time())
    used = [each["method"] for each in get_authentication_records(request, user)]
    where = prefix_of(client_address(request))
    enter("user.signed_in", request, target=user, by=user, methods=used, address=where)


@receiver(user_logged_out)
def signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        enter("user.signed_out", request, target=user, by=user)


@receiver(account_signals.password_changed)
@receiver(account_signals.password_set)
def password_changed(request: HttpRequest, user: User, **_: Any) -> None:
    enter("user.password_changed", request, target=user, by=user)


@receiver(account_signals.password_reset)
def password_reset(request: HttpRequest, user: User, **_: Any) -> None:
    enter("user.password_reset", request, target=user, by=user)


@receiver(second_factor_signals.authenticator_added)
def factor_added(
    request: HttpRequest, user: User, authenticator: Any, **_: Any
) -> None:
    kind = authenticator.type
    enter("user.second_factor_added", request, target=user, by=user, kind=kind)
    rotate(request)


@receiver(second_factor_signals.authenticator_removed)
def factor_removed(
    request: HttpRequest, user: User, authenticator: Any, **_: Any
) -> None:
    kind = authenticator.type
    enter("user.second_factor_removed", request, target=user, by=user, kind=kind)
    rotate(request)


@receiver(second_factor_signals.authenticator_reset)
def codes_renewed(request: HttpRequest, user: User, **_: Any) -> None:
    enter("user.recovery_codes_renewed", request, target=user, by=user)


@receiver(second_factor_signals.authentication_failed)
def factor_failed(
    request: HttpRequest, user: User, authenticator: Any, **_: Any
) -> None:
    kind = authenticator.type
    enter("user.second_factor_failed", request, target=user, kind=kind)


def rotate(request: HttpRequest) -> None:
    """Give the session a new key: what was seen of it before is worth nothing now."""
    UserSession.objects.filter(session_key=request.session.session_key).delete()
    request.session.cycle_key()
    UserSession.objects.create_from_request(request)

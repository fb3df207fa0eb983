from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect

# Recovery codes replace a factor that is lost; alone they are none.
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
FIRST = "Set up a second factor first: the administration is open only with one."


def has_second_factor(user: Any) -> bool:
    """Costs a query."""
    return Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists()


def set_up_first(request: HttpRequest) -> HttpResponseRedirect | None:
    """Lead staff without a second factor to where one is set up, if it is required.

    Who has one was asked for it on signing in, so here it is enough to have it.
    """
    user = request.user
    if not settings.REQUIRE_MFA or not (user.is_staff or user.is_superuser):
        return None
    if has_second_factor(user):
        return None
    messages.warning(request, FIRST)
    return redirect("mfa_index")

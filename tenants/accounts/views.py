from __future__ import annotations

from allauth.usersessions.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from mlops.errors import NotFound


def sign_up(request: HttpRequest) -> HttpResponse:
    """Nobody signs up here, by whatever form."""
    return render(request, "account/signup_closed.html", status=403)


@login_required
@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of one's own sessions. Raises NotFound for anybody else's."""
    session = UserSession.objects.filter(user_id=request.user.pk, pk=pk).first()
    if session is None:
        raise NotFound("No such session.")
    get_adapter().end_sessions([session])
    messages.success(request, "The session has ended.")
    return redirect("usersessions_list")

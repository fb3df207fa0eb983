"""Where people land who have signed in: the organizations that they belong to."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tenants import sql

NAMES = ("id", "slug", "name", "role")


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    key: Any = request.user.pk
    rows = sql.memberships(key)
    organizations = [dict(zip(NAMES, row, strict=True)) for row in rows]
    return render(request, "accounts/home.html", {"organizations": organizations})

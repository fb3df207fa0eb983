"""The site of the browser admin: the one place where its pages get their reach.

A superuser works across organizations: each page runs, and renders, in one transaction
of the role that row-level security does not bind. Other staff enters one organization
at a time, by a support grant, on the ordinary connection (tenants/admin_support.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.module_loading import import_string
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

from mlops.api.exceptions import domain_error
from mlops.errors import DomainError, Forbidden
from mlops.telemetry import line_of
from tenants import sql
from tenants.accounts.second_factor import set_up_first
from tenants.admin_panels import Overview, change_url, owner_of
from tenants.admin_support import (
    ONLY_READING,
    SAFE,
    Question,
    answer,
    entered,
    entries_of,
    entry_of,
    record_denial,
    staff_of,
)
from tenants.context import Actor, TenantContextMissing, record, tenant_transaction
from tenants.unscoped import every_organization

AdminView = Callable[..., HttpResponseBase]
REASON = "admin"


class LabelledChoices(AutocompleteJsonView):
    """What a field offers while one types, told apart across organizations."""

    model_admin: Any

    def get_queryset(self) -> QuerySet:
        related = self.model_admin.get_list_select_related(self.request)
        return super().get_queryset().select_related(*related or [])

    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, str]:
        key = str(getattr(obj, to_field_name))
        return {"id": key, "text": self.model_admin.label_of(obj)}


class PlatformAdminSite(UnfoldAdminSite):
    index_title = "Overview"

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Leave out unfold's inline style: its colours stand in colors.css."""
        return {**super().each_context(request), "colors": {}}

    def admin_view(self, view: AdminView, cacheable: bool = False) -> AdminView:
        own = (
            self.logout,
            self.password_change,
            self.password_change_done,
            self.i18n_javascript,
            self.support,
        )
        gate = super().admin_view(
            view if view in own else self._across_organizations(view), cacheable
        )

        @wraps(gate)
        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            must = None if view in own else set_up_first(request)
            return must or gate(request, *args, **kwargs)

        # The mark by which TenantMiddleware knows that this gate stands before a view.
        page.admin_site = self  # type: ignore[attr-defined]
        return page

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Lead to the one page where people sign in."""
        if request.user.is_authenticated and not self.has_permission(request):
            return self._refuse(request, Forbidden(ONLY_STAFF))
        wanted = {REDIRECT_FIELD_NAME: next_page(request)}
        return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode(wanted)}")

    # Marked like the pages: it leads to the gate.
    login.admin_site = True  # type: ignore[attr-defined]

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        return HttpResponseRedirect(reverse("account_change_password"))

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show what each app has to say in `settings.ADMIN_OVERVIEW`."""
        parts: list[Overview] = [import_string(p)() for p in settings.ADMIN_OVERVIEW]
        overview = {
            "tiles": [tile for part in parts for tile in part.tiles],
            "panels": sorted(
                (panel for part in parts for panel in part.panels),
                key=lambda panel: panel.rank,
            ),
        }
        return super().index(request, {**overview, **(extra_context or {})})

    def get_urls(self) -> list[Any]:
        own = path("support/", self.admin_view(self.support), name="support")
        return [own, *super().get_urls()]

    def support(self, request: HttpRequest) -> HttpResponseBase:
        """Where staff chooses an organization by a grant, and asks for one."""
        if request.user.is_superuser:
            return HttpResponseRedirect(reverse("admin:index"))
        asked = request.method == "POST" and request.POST.get("do") == "ask"
        question = Question(request.POST if asked else None)
        if request.method == "POST":
            try:
                answer(request, question)
            except DomainError as error:
                if error.status == FORBIDDEN:
                    record_denial(request, None)
                messages.error(request, error.message)
                return HttpResponseRedirect(request.path)
            if question.is_valid() or not asked:
                is_in = entered(request) is not None and not asked
                return HttpResponseRedirect(
                    reverse("admin:index") if is_in else request.path
                )
        context = {
            **self.each_context(request),
            "title": "Support",
            "entries": entries_of(request.user),
            "entered": entered(request),
            "question": question,
        }
        return TemplateResponse(request, "admin/support.html", context)

    def autocomplete_view(self, request: HttpRequest) -> HttpResponseBase:
        return LabelledChoices.as_view(admin_site=self)(request)

    def _across_organizations(self, view: AdminView) -> AdminView:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                if request.user.is_superuser:
                    return run_unscoped(view, request, *args, **kwargs)
                return run_by_grant(view, request, *args, **kwargs)
            except Exception as error:
                if isinstance(error, PermissionDenied) and entry_of(request):
                    record_denial(request, entry_of(request))
                    error = Forbidden(NOT_BY_A_GRANT)
                # Without a translation it is a bug, for Django to report.
                known = domain_error(error)
                if known is None or isinstance(known, TenantContextMissing):
                    raise
                return self._refuse(request, known)

        return inside

    def _refuse(self, request: HttpRequest, error: DomainError) -> HttpResponseBase:
        """Go back to the page that was left and say there what was refused.

        What may not be seen or is not there gets a page of its own.
        """
        if request.method == "POST" and error.status not in NO_WAY_BACK:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())
        context = {**self.each_context(request), "title": "Refused", "error": error}
        return TemplateResponse(
            request, "admin/refused.html", context, status=error.status
        )


def next_page(request: HttpRequest) -> str:
    """Return the page that was asked for, if it is on this very host."""
    wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
    hosts = {request.get_host()}
    if wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, hosts):
        return wanted
    return reverse("admin:index")


NO_WAY_BACK = {403, 404}
ONLY_STAFF = "The administration is for staff, and you are signed in as none."
FORBIDDEN = 403
ONLY_BY_GRANT = (
    "Staff enters an organization by a live support grant of its owners. Choose one, or"
    " ask for it, on the page for support."
)
NOT_BY_A_GRANT = "This page is not open to staff by a support grant."


def run_unscoped(
    view: AdminView, request: HttpRequest, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    staff = staff_of(request)
    with every_organization(staff, request_line=line_of(request), reason=REASON):
        response = view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse):
            # Templates query while they render.
            response = response if response.is_rendered else response.render()
            record_look(request, staff)
    return response


def run_by_grant(
    view: AdminView, request: HttpRequest, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    """Run the page on the ordinary connection, bound to the one organization."""
    entry = entered(request)
    if entry is None:
        record_denial(request, None)
        raise Forbidden(ONLY_BY_GRANT)
    request.support_entry = entry  # type: ignore[attr-defined]
    if request.method not in SAFE and not entry.may_write:
        record_denial(request, entry)
        raise Forbidden(ONLY_READING)
    staff, reason = staff_of(request, entry), f"support grant {entry.id}"
    with tenant_transaction(staff, request_line=line_of(request), reason=reason):
        response = view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse):
            response = response if response.is_rendered else response.render()
        row = getattr(request, "viewed_row", None)
        record("admin.viewed", target=row, path=request.path[:500])
    return response


def record_look(request: HttpRequest, staff: Actor) -> None:
    """Enter every page that staff saw, in the trail of whose row it showed."""
    row = getattr(request, "viewed_row", None)
    if row is not None and not isinstance(row.pk, UUID):
        row = None  # The queue numbers its jobs; the trail names objects by UUID.
    owner = str(owner_of(row) or "") if row else ""
    if owner:
        sql.bind(settings.ADMIN_ALIAS, owner, str(staff), line_of(request), REASON)
    record("admin.viewed", target=row, path=request.path[:500])


PER_MODEL = 5


def search_rows(request: HttpRequest, words: str) -> list[SearchResult]:
    """Find rows for the command palette, a few of each model that offers itself."""
    found = []
    for model, model_admin in admin.site._registry.items():
        seen = model_admin.has_view_permission(request)
        if seen and getattr(model_admin, "in_palette", False):
            rows = model_admin.get_queryset(request)
            rows, _ = model_admin.get_search_results(request, rows, words)
            kind = str(model._meta.verbose_name).capitalize()
            found += [
                SearchResult(str(row), kind, change_url(row), "arrow_forward")
                for row in rows[:PER_MODEL]
            ]
    return found

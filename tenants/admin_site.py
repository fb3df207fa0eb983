"""The site of the browser admin: the one place where its pages get their reach.

A superuser works across organizations: each page runs, and renders, in one transaction
of the role that row-level security does not bind. Other staff enter only by a support
grant, which does not exist yet, so they are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.module_loading import import_string
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

from mlops.api.exceptions import domain_error
from mlops.errors import DomainError, Forbidden
from tenants import sql
from tenants.admin_panels import Overview, change_url, owner_of
from tenants.context import Actor, TenantContextMissing, binding, record
from tenants.unscoped import every_organization

AdminView = Callable[..., HttpResponseBase]
REASON = "admin"


# The least that unfold works with: Alpine compiles the expressions in its attributes,
# and sizes and colours stand in style attributes. Nothing comes from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def confined(response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    return response


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

    def admin_view(self, view: AdminView, cacheable: bool = False) -> AdminView:
        own = (
            self.logout,
            self.password_change,
            self.password_change_done,
            self.i18n_javascript,
        )
        gate = super().admin_view(
            view if view in own else self._across_organizations(view), cacheable
        )

        @wraps(gate)
        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return confined(gate(request, *args, **kwargs))

        # The mark by which TenantMiddleware knows that this gate stands before a view.
        page.admin_site = self  # type: ignore[attr-defined]
        return page

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        return confined(super().login(request, extra_context))

    # Marked like the pages: it is the gate.
    login.admin_site = True  # type: ignore[attr-defined]

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

    def autocomplete_view(self, request: HttpRequest) -> HttpResponseBase:
        return LabelledChoices.as_view(admin_site=self)(request)

    def _across_organizations(self, view: AdminView) -> AdminView:
        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_superuser:
                record_refusal(request)
                return self._refuse(request, Forbidden(ONLY_SUPERUSERS))
            try:
                return run_unscoped(view, request, *args, **kwargs)
            except Exception as error:
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


NO_WAY_BACK = {403, 404}
ONLY_SUPERUSERS = (
    "The admin is open to superusers. Other staff will enter an organization by a"
    " support grant of its owner; ask a superuser meanwhile."
)


def run_unscoped(
    view: AdminView, request: HttpRequest, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    staff = staff_of(request)
    with every_organization(staff, request_id=id_of(request), reason=REASON):
        response = view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse):
            # Templates query while they render.
            response = response if response.is_rendered else response.render()
            record_look(request, staff)
    return response


def staff_of(request: HttpRequest) -> Actor:
    return Actor(kind="staff", id=request.user.pk, label=request.user.get_username())


def id_of(request: HttpRequest) -> str:
    return request.request_id  # type: ignore[attr-defined]


def record_look(request: HttpRequest, staff: Actor) -> None:
    """Enter every page that staff saw, in the trail of whose row it showed."""
    row = getattr(request, "viewed_row", None)
    if row is not None and not isinstance(row.pk, UUID):
        row = None  # The queue numbers its jobs; the trail names objects by UUID.
    owner = str(owner_of(row) or "") if row else ""
    if owner:
        sql.bind(settings.ADMIN_ALIAS, owner, str(staff), id_of(request), REASON)
    record("admin.viewed", target=row, path=request.path[:500])


def record_refusal(request: HttpRequest) -> None:
    staff = staff_of(request)
    with transaction.atomic(), binding(None, staff):
        sql.bind(DEFAULT_DB_ALIAS, "", str(staff), id_of(request), REASON)
        record("admin.entered", outcome="denied", path=request.path[:500])


PER_MODEL = 5


def search_rows(request: HttpRequest, words: str) -> list[SearchResult]:
    """Find rows for the command palette, a few of each model that offers itself."""
    found = []
    for model, model_admin in admin.site._registry.items():
        if getattr(model_admin, "in_palette", False):
            rows = model_admin.get_queryset(request)
            rows, _ = model_admin.get_search_results(request, rows, words)
            kind = str(model._meta.verbose_name).capitalize()
            found += [
                SearchResult(str(row), kind, change_url(row), "arrow_forward")
                for row in rows[:PER_MODEL]
            ]
    return found

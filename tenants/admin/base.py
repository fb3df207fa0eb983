"""`TenantAdmin`, the base of every admin, and the columns that many lists share.

Pages are read-only but for what `editable` and the actions say, and those write through
services; nothing is deleted here for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.decorators import display

from mlops.api.exceptions import domain_error
from mlops.telemetry import line_of
from tenants import admin_json, sql
from tenants.admin_lists import (
    SEARCHED,
    BoundedPaginator,
    TenantChangeList,
    as_uuid,
    with_words,
)
from tenants.admin_panels import (
    Panel,
    badge,
    code,
    link_to,
    owner_of,
    stack,
    timeline_url,
    when,
)
from tenants.admin_support import may_change, may_see
from tenants.context import acting, bound_alias, bound_organization, is_unscoped
from tenants.querysets import LiveManager

admin_json.replace_unfolds()


class TenantAdmin(ModelAdmin):
    """Fast on the largest organization, read-only unless it says otherwise."""

    list_per_page = 50
    list_max_show_all = 200
    list_disable_select_all = True
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by: Sequence[str] = ()
    list_fullwidth = True
    list_filter_submit = True
    compressed_fields = True
    warn_unsaved_form = True
    change_form_outer_after_template = "admin/panels.html"
    empty_value_display = "–"

    # Fields that may be changed, by change_row(); and the form of create_row().
    editable: Sequence[str] = ()
    add_form: type[ModelForm] | None = None
    change_form: type[ModelForm] | None = None
    # Texts are searched for among this many of the newest rows; None: all of them.
    searched: int | None = SEARCHED
    # Offered by the command palette.
    in_palette = False

    # Services write; a subclass names them.

    def create_row(self, *_: Any, **values: Any) -> Any:
        raise NotImplementedError

    def change_row(self, *_: Any, **changes: Any) -> Any:
        raise NotImplementedError

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm, change: bool
    ) -> None:
        values = form.cleaned_data
        if not change:
            vars(obj).update(vars(self.create_row(**values)))
        elif form.changed_data:
            self.change_row(obj, **{name: values[name] for name in form.changed_data})

    # Superusers see and change what the page offers; other staff, what their support
    # grant opens (tenants/admin_support.py).

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_see(request, self.model)

    def has_view_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return may_see(request, self.model)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.add_form is not None and may_change(request, self.model)

    def has_change_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return bool(self.editable) and may_change(request, self.model)

    def has_delete_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False

    def get_readonly_fields(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> list[str]:
        if obj is None:
            return []
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        return [name for name in shown if name not in self.editable]

    def get_actions(self, request: HttpRequest) -> Any:
        return super().get_actions(request) if may_change(request, self.model) else {}

    # Lists

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """With what was deleted, which a page shows and an action restores."""
        manager = self.model._default_manager
        is_hiding = isinstance(manager, LiveManager)
        rows = manager.with_deleted() if is_hiding else manager.get_queryset()
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return TenantChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        words = search_term.strip()
        if not words:
            return queryset, False
        columns = self.get_search_fields(request)
        return with_words(queryset, words, columns, newest=self.searched), False

    def label_of(self, row: Any) -> str:
        """The row's name among those of all organizations, where one chooses."""
        return str(row)

    def relations_of(self, rows: Sequence[Any]) -> list[Any]:
        """Prefetches for one page of the list, which may look at its rows."""
        return []

    def act(
        self,
        request: HttpRequest,
        rows: QuerySet,
        service: Callable[[Any], object],
        *,
        doing: str,
        done: str,
        consequence: str,
    ) -> TemplateResponse | None:
        """Ask once, then hand each selected row to the service, all or none."""
        selected = list(rows[: self.list_max_show_all])
        if "confirmed" not in request.POST:
            return self._ask(request, selected, doing, consequence)
        note_reason(request)
        for row in selected:
            service(row)
        messages.success(request, f"{counted(selected, self.opts)} {done}.")
        return None

    def act_on_one(
        self,
        request: HttpRequest,
        rows: QuerySet,
        service: Callable[[Any, str], object],
        *,
        doing: str,
        done: str,
        consequence: str,
    ) -> TemplateResponse | None:
        """Ask for a reason and for the name of the one selected row, typed once more;
        the service compares it."""
        selected = list(rows[:2])
        if len(selected) != 1:
            messages.error(request, f"{doing} them one by one: select a single row.")
            return None
        if "confirmed" not in request.POST:
            return self._ask(request, selected, doing, consequence, is_typed=True)
        if not request.POST.get("reason", "").strip():
            messages.error(request, "Say why; the audit trail keeps it.")
            return None
        note_reason(request)
        service(selected[0], request.POST.get("confirm", "").strip())
        messages.success(request, f"{selected[0]}: {done}.")
        return None

    def _ask(
        self,
        request: HttpRequest,
        rows: list[Any],
        doing: str,
        consequence: str,
        *,
        is_typed: bool = False,
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{doing} {counted(rows, self.opts)}?",
            "consequence": consequence,
            "doing": doing,
            "rows": rows,
            "action": request.POST["action"],
            "checkbox": ACTION_CHECKBOX_NAME,
            "is_typed": is_typed,
        }
        return TemplateResponse(request, "admin/confirm.html", context)

    # Forms

    def get_form(
        self,
        request: HttpRequest,
        obj: models.Model | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> type[ModelForm]:
        if obj is None and self.add_form is not None:
            kwargs["form"] = self.add_form
        elif obj is not None and self.change_form is not None:
            kwargs["form"] = self.change_form
        form = super().get_form(request, obj, change=change, **kwargs)
        refusal = getattr(request, "refusal", "")
        return refused(form, refusal) if refusal else form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """What a service refuses is said on the form, with all that was typed."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Exception as error:
            known = domain_error(error)
            said = hasattr(request, "refusal") or request.method != "POST"
            if said or known is None or known.status >= 500:
                raise
            request.refusal = known.message  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    def panels(self, request: HttpRequest, row: Any) -> list[Panel]:
        """Tables below the form."""
        return []

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: models.Model | None = None,
    ) -> Any:
        context["panels"] = self.panels(request, obj) if obj else []
        request.viewed_row = obj  # type: ignore[attr-defined]
        return super().render_change_form(request, context, add, change, form_url, obj)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponseBase:
        """The audit trail knows of every change, not only of those made here.

        And it still does when the row is gone for good.
        """
        row = self.get_object(request, object_id)
        if row is not None:
            return HttpResponseRedirect(audit_of(row))
        if as_uuid(object_id) is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        asked = {"object_type": self.opts.db_table, "object_id": object_id}
        return HttpResponseRedirect(timeline_url(**asked))


def refused(form: type[ModelForm], message: str) -> type[ModelForm]:
    def clean(self: Any) -> Any:
        self.add_error(None, message)
        return form.clean(self)

    return type(f"Refused{form.__name__}", (form,), {"clean": clean})


def counted(rows: Sequence[Any], opts: Any) -> str:
    name = opts.verbose_name if len(rows) == 1 else opts.verbose_name_plural
    return f"{len(rows)} {name}"


def note_reason(request: HttpRequest) -> None:
    """Let the entries of this page carry the reason that was typed."""
    if reason := request.POST.get("reason", "").strip()[:500]:
        bound = "" if is_unscoped() else str(bound_organization())
        using = bound_alias() or DEFAULT_DB_ALIAS
        request_line = line_of(request)
        sql.bind(using, bound, str(acting()), request_line, reason)


def audit_of(row: models.Model) -> str:
    return timeline_url(
        organization=owner_of(row) or "none",
        object_type=row._meta.db_table,
        object_id=row.pk,
    )


class Dated:
    """Columns of rows that know their organization, project and moments."""

    @display(description="Project")
    def where(self, row: Any) -> str:
        return stack(link_to(row.project, row.project.slug), row.organization.slug)

    @display(description="Created")
    def created(self, row: Any) -> str:
        return when(row.created_at)

    @display(description="Updated")
    def updated(self, row: Any) -> str:
        return when(row.updated_at)

    @display(description="State")
    def state(self, row: Any) -> str:
        if row.deleted_at is None:
            return badge("live", "success")
        return stack(badge("deleted", "danger"), fate_of(row))

    @display(description="Organization")
    def of_organization(self, row: Any) -> str:
        return link_to(row.organization, row.organization.slug)

    @display(description="Id")
    def key(self, row: Any) -> str:
        return code(row.pk)


def fate_of(row: Any) -> str:
    if getattr(row, "purged_at", None):
        return f"purged on {row.purged_at:%Y-%m-%d}; its address is kept"
    if row.is_being_purged:
        return "is being purged"
    return f"to be purged on {row.purge_after:%Y-%m-%d}" if row.purge_after else ""


class Restorable:
    """Actions of rows that are marked as deleted and may come back."""

    delete_service: Callable[[Any], object]
    restore_service: Callable[[Any], object]
    consequence = "It disappears for everybody, and can be restored here."
    actions: Iterable[str] = ("delete_rows", "restore_rows")

    @display(description="Delete selected")
    def delete_rows(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(  # type: ignore[attr-defined]
            request,
            queryset,
            type(self).delete_service,
            doing="Delete",
            done="deleted",
            consequence=self.consequence,
        )

    @display(description="Restore selected")
    def restore_rows(self, request: HttpRequest, queryset: QuerySet) -> Any:
        return self.act(  # type: ignore[attr-defined]
            request,
            queryset,
            type(self).restore_service,
            doing="Restore",
            done="restored",
            consequence="It is back for everybody who may see it.",
        )

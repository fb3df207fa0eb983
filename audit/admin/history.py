"""The history of an object, or of an actor in one organization, as the admin shows it.

Asked by type and id, so that it can be read of what is deleted or purged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import models
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from audit.captured import CAPTURED
from audit.differences import summary_of
from audit.models import AuditLog
from tenants.admin_lists import as_uuid
from tenants.admin_panels import (
    NOTHING,
    Panel,
    badge,
    code,
    link_to,
    muted,
    short_id,
    stack,
    timeline_url,
    when,
)
from tenants.context import bound_organization, is_unscoped
from tenants.models import Organization, ServiceAccount, User

PAGE = 50
OUTCOME_TONES = {"ok": "success", "denied": "danger", "failed": "warning"}
# The word for entries of no organization, as in the filter of lists.
NONE = "none"


@dataclass(frozen=True, slots=True)
class Question:
    """What the page is asked for, as the address says it."""

    organization: str = ""
    object_type: str = ""
    object_id: str = ""
    actor_id: str = ""
    before: str = ""

    @classmethod
    def of(cls, request: HttpRequest) -> Question:
        said = {name: request.GET.get(name, "").strip() for name in cls.__slots__}
        return cls(**said)

    @property
    def is_asked(self) -> bool:
        return bool(self.actor_id or (self.object_type and self.object_id))

    def problem(self) -> str:
        for name in ("object_id", "actor_id", "before"):
            if (value := getattr(self, name)) and as_uuid(value) is None:
                return f"{name}={value[:50]!r} is no id; take one from a page or entry."
        if self.object_type and self.object_type not in models_by_table():
            return f"object_type={self.object_type[:63]!r} is no table of ours."
        return ""

    def page_before(self, entry: AuditLog) -> str:
        asked = {n: getattr(self, n) for n in self.__slots__ if getattr(self, n)}
        return timeline_url(**{**asked, "before": entry.pk})


@dataclass(frozen=True, slots=True)
class History:
    entries: list[AuditLog]
    older: str = ""


def history_of(question: Question) -> History:
    owner = owner_asked(question)
    rows = AuditLog.objects.so_far().filter(organization_id=owner)
    if question.actor_id:
        rows = rows.by(UUID(question.actor_id))
    else:
        rows = rows.of_object(question.object_type, UUID(question.object_id))
    if question.before:
        rows = rows.filter(id__lt=UUID(question.before))
    entries = list(rows.order_by("-id")[: PAGE + 1])
    page = entries[:PAGE]
    older = question.page_before(page[-1]) if len(entries) > PAGE else ""
    return History(page, older)


def owner_asked(question: Question) -> UUID | None:
    """Return whose trail it is; what nobody said is looked up."""
    if not is_unscoped():
        bound = bound_organization()
        return bound if isinstance(bound, UUID) else None
    words = question.organization
    if not words:
        return found_owner(question)
    if words == NONE or (key := as_uuid(words)):
        return None if words == NONE else key
    named = Organization.objects.with_deleted().filter(slug=words)
    return named.values_list("pk", flat=True).first() or UUID(int=0)


def found_owner(question: Question) -> UUID | None:
    """Ask the index of each organization for one entry, with no order to keep."""
    everybody = Organization.objects.with_deleted().values_list("pk", flat=True)
    rows = AuditLog.objects.filter(organization_id__in=list(everybody)).order_by()
    if question.actor_id:
        rows = rows.by(UUID(question.actor_id))
    else:
        rows = rows.of_object(question.object_type, UUID(question.object_id))
    return rows.values_list("organization_id", flat=True).first()


def subject_of(question: Question, entries: Sequence[AuditLog]) -> Any:
    """Stand in for the row that is looked at, which may be gone, for the trail."""
    if not entries:
        return None
    if question.actor_id or not question.object_id:
        return entries[0]
    model = models_by_table()[question.object_type]
    row = model(pk=UUID(question.object_id))
    if "organization_id" in {field.attname for field in model._meta.concrete_fields}:
        vars(row)["organization_id"] = entries[0].organization_id
    return row


# How it looks


def title_of(question: Question, entries: Sequence[AuditLog]) -> str:
    if question.actor_id:
        return "What one actor did"
    name = next((e.object_label for e in entries if e.object_label), "")
    model = models_by_table().get(question.object_type)
    noun = str(model._meta.verbose_name) if model else question.object_type
    return f"History of {noun} {name or question.object_id}"


def timeline_panel(history: History, *, of_actor: bool) -> Panel:
    name_all(history.entries)
    columns = ("When", "Object" if of_actor else "Who", "What", "Why and from where")
    lines = [line_of(entry, of_actor) for entry in history.entries]
    return Panel("Newest first", columns, lines, wide=True, empty=EMPTY)


EMPTY = "No entries. Look at the organization, the type and the id once more."


def line_of(entry: AuditLog, of_actor: bool) -> list[Any]:
    what = stack(link_to(entry, summary_of(entry)), entry.action)
    return [
        stack(when(entry.created_at), outcome(entry)),
        changed_object(entry) if of_actor else who(entry),
        what,
        stack(entry.reason or NOTHING, origin(entry)),
    ]


def origin(entry: AuditLog) -> str:
    """By which request, and from where it came."""
    parts = (entry.address, entry.route, entry.request_id)
    return " · ".join(part for part in parts if part)


def outcome(entry: AuditLog) -> str:
    return badge(entry.get_outcome_display(), OUTCOME_TONES[entry.outcome])


def who(row: Any) -> str:
    kind = row.actor_kind
    if row.actor_row is not None:
        return stack(link_to(row.actor_row), kind)
    if row.actor_id:
        return stack(short_id(row.actor_id), kind)
    return stack(row.actor_label or NOTHING, kind)


def changed_object(row: AuditLog) -> str:
    if row.object_id is None:
        return muted((row.after or {}).get("path", NOTHING))
    name = row.object_label or short_id(row.object_id)
    return stack(name, code(row.object_type))


def name_all(entries: Sequence[Any]) -> None:
    """Put actors and organizations beside the entries: three queries for all."""
    actors = {e.actor_id for e in entries if e.actor_id}
    owners = {e.organization_id for e in entries if e.organization_id}
    users: dict[Any, Any] = dict(User.objects.in_bulk(actors))
    users |= ServiceAccount.objects.with_deleted().in_bulk(actors - set(users))
    organizations = Organization.objects.with_deleted().in_bulk(owners)
    for entry in entries:
        entry.actor_row = users.get(entry.actor_id)
        entry.organization_row = organizations.get(entry.organization_id)


@cache
def models_by_table() -> dict[str, type[models.Model]]:
    return {
        model._meta.db_table: model
        for model in apps.get_models(include_auto_created=True)
    }


@cache
def captured_tables() -> list[str]:
    """Name what has a history, for those who ask by hand."""
    return sorted(apps.get_model(label)._meta.db_table for label in CAPTURED)


def address_of(table: str, key: UUID | None) -> str:
    """Return the page of the row, where the admin has one."""
    model = models_by_table().get(table)
    if model is None or key is None:
        return ""
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    try:
        return reverse(f"admin:{name}_change", args=[key])
    except NoReverseMatch:
        return ""

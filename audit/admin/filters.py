"""Filters of the trail's list: what no index finds is looked for among the newest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from audit.models import Outcome
from audit.selections import KINDS
from tenants.admin_lists import SEARCHED, ExactTextFilter, as_uuid


def among_newest(rows: Any) -> Any:
    """Bound what no index finds to so many of the newest that other filters leave."""
    oldest = rows.oldest_of_newest(SEARCHED)
    return rows if oldest is None else rows.filter(id__gte=oldest)


class UnindexedFilter(ExactTextFilter):
    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet:
        words = self.value()
        return self.narrow(among_newest(queryset), words) if words else queryset

    def narrow(self, rows: Any, words: str) -> QuerySet:
        return rows.filter(**{self.column: words})


class ActionFilter(UnindexedFilter):
    title = "action (project.created, or tenants.project.*)"
    parameter_name = column = "action"

    def narrow(self, rows: Any, words: str) -> QuerySet:
        return rows.doing(words)


class LabelFilter(UnindexedFilter):
    title = "command or job that acted"
    parameter_name = column = "actor_label"


class RequestFilter(UnindexedFilter):
    title = "request id"
    parameter_name = column = "request_id"


class AddressFilter(UnindexedFilter):
    title = "address, as entries show it"
    parameter_name = column = "address"


class ObjectTypeFilter(UnindexedFilter):
    """Served by an index with the organization and the object's id."""

    title = "object type (table)"
    parameter_name = column = "object_type"

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet:
        if words := self.value():
            if "organization" in request.GET and "object_id" in request.GET:
                return queryset.filter(object_type=words)
        return super().queryset(request, queryset)


class KeyFilter(UnindexedFilter):
    """By an id, which an index finds within an organization."""

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet:
        if not self.value():
            return queryset
        key = as_uuid(self.value())
        if key is None:
            return queryset.none()
        if "organization" not in request.GET:
            queryset = among_newest(queryset)
        return queryset.filter(**{self.column: key})


class ObjectFilter(KeyFilter):
    title = "object (id)"
    parameter_name = column = "object_id"


class ActorFilter(KeyFilter):
    title = "actor (id)"
    parameter_name = column = "actor_id"


class ChoiceFilter(DropdownFilter):
    """One of a few words; subclasses name the column and the words."""

    words: Sequence[tuple[str, str]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.words)

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet:
        if self.value() not in dict(self.words):
            return queryset
        column = str(self.parameter_name)
        return among_newest(queryset).filter(**{column: self.value()})


class OutcomeFilter(ChoiceFilter):
    title = parameter_name = "outcome"
    words = Outcome.choices


class KindFilter(ChoiceFilter):
    title = "kind of actor"
    parameter_name = "actor_kind"
    words = [(kind, kind.capitalize()) for kind in KINDS]
